"""Models: networks with their weights on a device."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Dict, Optional, Sequence

from ._calls import Progress, calling
from ._library import Handle, PathLike, as_json, load
from .cancel import Cancel


class Model(Handle):
    """A model. Several sessions may share one."""

    _kind = "model"
    _instead = "pass its path, and load it in the other process (Model.load)"

    @classmethod
    def load(
        cls,
        model: PathLike,
        config: Optional[PathLike] = None,
        *,
        adapter: Optional[PathLike] = None,
        device: Optional[str] = None,
        precision: Optional[str] = None,
        weights_dirs: Optional[Sequence[PathLike]] = None,
        progress: Optional[Progress] = None,
        cancel: Optional[Cancel] = None,
    ) -> "Model":
        """Loads a checkpoint: an official size by name (``tiny`` ... ``large``, ``2.1-tiny`` ... ``2.1-large``) or a file. `config`: an
        official size or a configuration file; `adapter`: what fine-tuning has learnt for it; `device`: ``auto``, ``cpu``, ``cuda:N``; `precision`: ``auto``, ``f32``, ``bf16``, ``f16``."""
        request = {
            "model": model,
            "model_config": config,
            "adapter": adapter,
            "device": device,
            "precision": precision,
            "weights_dirs": list(weights_dirs) if weights_dirs is not None else None,
        }
        given = {key: value for key, value in request.items() if value is not None}
        with calling(progress, cancel) as call:
            return cls._of(load().handle("model_load", as_json(given), call.host))

    @cached_property
    def info(self) -> Dict[str, Any]:
        """`path`, `device`, `precision`, `image_size`, `fingerprint`, ..."""
        told: Dict[str, Any] = load().json("model_describe", self._pointer)
        return told

    def __repr__(self) -> str:
        return f"<Model {self.info['path']} on {self.info['device']}>"
