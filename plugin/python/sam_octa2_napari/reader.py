"""Opens what the plugin opens, as an image layer in millimetres."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from sam_octa2 import Volume

LayerData = Tuple[Any, Dict[str, Any], str]


def get_reader(path: Union[str, Sequence[str]]) -> Optional[Callable[[str], List[LayerData]]]:
    """The reader of one file or folder; napari's own read several."""
    return read if isinstance(path, str) else None


def read(path: str) -> List[LayerData]:
    """One image layer. Large files stay on disk: their slices are read when they are shown."""
    volume = Volume.open(path)
    data = volume if volume.info["lazy"] else np.asarray(volume)
    return [(data, about(volume, path, data), "image")]


def about(volume: Volume, path: str, data: Any) -> Dict[str, Any]:
    """What napari should know about the layer; the metadata say what was opened, and which data stand for it."""
    name = Path(Path(path).name.removesuffix(".gz")).stem
    about: Dict[str, Any] = {"name": name or path, "rgb": volume.ndim == 4, "metadata": {"sam_octa2": volume, "sam_octa2_data": data}}
    if volume.info["geometry_known"] or volume.spacing != (1.0, 1.0, 1.0):
        about["scale"] = volume.spacing[::-1]
    return about
