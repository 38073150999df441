"""The library as a whole: what this machine offers, how many threads it may use, whole tasks."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from ._calls import Progress, calling
from ._library import as_json, encoded, load, whole
from .cancel import Cancel


def start() -> None:
    """Opens the engine and libtorch now rather than in the first call that needs them."""
    load().start()


def capabilities() -> Dict[str, Any]:
    """What this machine offers: `devices`, `precisions`, `threads`, `torch`, `models`."""
    told: Dict[str, Any] = load().json("capabilities")
    return told


def models() -> List[Dict[str, Any]]:
    """The official models: `name`, `path` (nothing where the file is not here), `url`."""
    return list(capabilities()["models"])


def set_threads(count: int) -> None:
    """How many threads one computation may use, for all sessions of the process; 0: one for each core."""
    load().call("set_threads", whole("thread count", count, 0, 1 << 16))


def task(
    name: str, request: Dict[str, Any], *, progress: Optional[Progress] = None, cancel: Optional[Cancel] = None
) -> Dict[str, Any]:
    """Does a whole task, such as ``segment`` or ``convert``: request and reply as in docs/abi.md. Those without a model, such as ``info``, open no libtorch."""
    with calling(progress, cancel) as call:
        told: Dict[str, Any] = load().json("task", encoded(name), as_json(request), call.host)
        return told
