"""From an image layer to a volume: which data, where they lie. Works without Qt and napari."""

from __future__ import annotations

from typing import Any, Dict, Tuple

import numpy as np
import numpy.typing as npt

from sam_octa2 import InvalidArgument, Volume

#: what places a layer in napari's world
PLACE = ("scale", "translate", "rotate", "shear", "affine")


def place_of(layer: Any) -> Dict[str, Any]:
    """The same place for another layer."""
    kept = {name: getattr(layer, name) for name in PLACE}
    kept["affine"] = np.asarray(kept["affine"])
    return kept


def matrix_of(layer: Any) -> npt.NDArray[np.float64]:
    """From voxels of a layer to its world, axes in napari's order: scale, shear, rotation, translation and affine in one."""
    axes = np.eye(layer.ndim)
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)), np.float64)
    matrix = np.eye(layer.ndim + 1)
    matrix[:-1, -1] = origin
    matrix[:-1, :-1] = np.stack([np.asarray(layer.data_to_world(axis), np.float64) - origin for axis in axes], axis=1)
    return matrix


def affine_of(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The same from (x, y, z) to (x, y, z); a single slice is one millimetre thick."""
    if len(matrix) == 3:
        flat, matrix = matrix, np.eye(4)
        matrix[1:, 1:] = flat
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix[:3, :3][::-1, ::-1], matrix[:3, 3][::-1]
    return affine


def data_of(layer: Any) -> Any:
    """The values, `[frames, rows, columns]` or with three channels: of a multiscale layer the finest, of RGBA without alpha.
    Raises `InvalidArgument`, one sentence, where that is not possible."""
    data = layer.data[0] if layer.multiscale else layer.data
    if layer.ndim not in (2, 3):
        raise InvalidArgument(
            f"the layer {layer.name} has {layer.ndim} dimensions; SAM-OCTA2 segments one stack of slices: right-click the layer, "
            "Split Stack, and choose one of the stacks"
        )
    if isinstance(data, Volume):
        return data
    array = np.asarray(data)
    if layer.rgb:
        array = array[..., :3]
    return array[np.newaxis] if layer.ndim == 2 else array


def volume_of(layer: Any) -> Volume:
    """What is segmented: the file that was opened, as long as the layer shows it where it was; else the layer's data at the layer's place,
    lent. Of a file that was moved in napari, the patient's coordinates move along."""
    data, matrix = data_of(layer), matrix_of(layer)
    opened = data if isinstance(data, Volume) else layer.metadata.get("sam_octa2")
    if not isinstance(opened, Volume):
        return Volume.from_array(data, affine_of(matrix))
    first = np.eye(4)
    if opened.info["geometry_known"] or opened.spacing != (1.0, 1.0, 1.0):
        first[:3, :3] = np.diag(opened.spacing)
    unchanged = data is opened or (layer.data is layer.metadata.get("sam_octa2_data") and _same(data, opened))
    now = affine_of(matrix)
    if unchanged and (layer.ndim == 2 or np.allclose(now, first)):
        return opened
    if opened.shape[:3] != np.shape(data)[:3]:
        return Volume.from_array(data, now)
    return Volume.from_array(np.asarray(data), opened.affine @ np.linalg.inv(first) @ now)


def _same(data: npt.NDArray[Any], volume: Volume) -> bool:
    """Do the data still hold what the file holds?"""
    return data.shape == volume.shape and all(np.array_equal(data[at], volume.frame(at)) for at in range(len(volume)))


def shape_of(layer: Any) -> Tuple[int, ...]:
    """Frames, rows, columns."""
    shape = tuple(np.shape(layer.data[0]) if layer.multiscale else layer.data.shape)
    shape = shape[:-1] if layer.rgb else shape
    return shape if len(shape) == 3 else (1, *shape[-2:])
