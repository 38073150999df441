"""The library as a whole: what this machine offers, how many threads it may use, whole tasks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

from ._calls import Progress, calling
from ._download import Progress as Download
from ._download import download
from ._errors import InvalidArgument
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
    """The models known by name: `name`, `path` (nothing where the file is not here), `url`, `bytes`, `sha256`, `licence`, `terms`,
    `trained_on`, `good_for`, `citation` and others."""
    return list(task("models", {})["report"])


def get_model(
    name: str, folder: Union[str, "os.PathLike[str]", None] = None, *, progress: Optional[Download] = None
) -> Path:
    """Downloads a model of the list, unless it is here and right; its path.

    Goes on where an earlier download stopped, checks size and SHA-256 and puts the file in its place whole. ``progress(done, total)`` is
    called with bytes (``total`` is nothing where the server does not say it); an exception from it stops the download. Look at the entry's
    ``terms`` before. The library itself never opens a connection; this function does, with `urllib`.
    """
    told = task("models", {})
    model = next((model for model in told["report"] if model["name"] == name), None)
    if model is None:
        raise InvalidArgument(f'no model is named "{name}"; sam_octa2.models() lists them')
    if model["unsupported"]:
        raise InvalidArgument(f"{name} cannot be used here: {model['unsupported']}")
    if not model["url"]:
        raise InvalidArgument(f"{name}: the list has no address for it")
    return download(model, Path(folder if folder is not None else told["folder"]), progress)


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
