"""A volume of Slicer's scene as a session: places in RAS millimetres become clicks, masks become voxels of segments."""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from sam_octa2 import Cancel, InvalidArgument, Mask, Model, Session, Volume

#: a place in patient coordinates, millimetres
Ras = Tuple[float, float, float]


def voxels_of(volume_node: Any) -> npt.NDArray[Any]:
    """The voxels of a scalar volume node, `[k, j, i]`, in Slicer's own memory."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    image = volume_node.GetImageData()
    if image is None:
        raise InvalidArgument("the volume has no voxels yet: load it first")
    values = vtk_to_numpy(image.GetPointData().GetScalars())
    return np.asarray(values).reshape(image.GetDimensions()[::-1] + values.shape[1:])


def affine_of(volume_node: Any) -> npt.NDArray[np.float64]:
    """Voxel (i, j, k) to RAS millimetres, 4 x 4."""
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    matrix = vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


class Segmenter:
    """Clicks on one volume of the scene. Slices are those along k, the last index in Slicer's order i, j, k.

    The voxels are lent, not copied: keep the node while this lives, and make another one after its voxels have changed. Each segment is an
    object of the session, by the segment's id. Nothing here touches a segmentation: `voxels` are for whoever shows them.
    """

    def __init__(self, volume_node: Any, model: Model) -> None:
        self._array = voxels_of(volume_node)
        self.affine = affine_of(volume_node)
        self.volume = Volume.from_array(self._array, self.affine)
        self.session = Session(self.volume, model)
        self._objects: Dict[str, int] = {}

    def ijk(self, ras: Ras) -> Tuple[float, float, float]:
        """Where a place lies in voxels. Errors: outside of the volume."""
        i, j, k = (np.linalg.inv(self.affine) @ np.array([*ras, 1.0]))[:3]
        size = self._array.shape[2::-1]
        if not all(-0.5 <= at < most - 0.5 for at, most in zip((i, j, k), size)):
            where = ", ".join(f"{at:.1f}" for at in ras)
            raise InvalidArgument(f"the place {where} mm (RAS) lies outside of the volume")
        return float(i), float(j), float(k)

    def object_of(self, segment: str) -> int:
        """The number of a segment in the session; a new segment becomes an object."""
        return self._objects.setdefault(segment, len(self._objects) + 1)

    def click(self, segment: str, ras: Ras, *, positive: bool = True, cancel: Optional[Cancel] = None) -> Mask:
        """A click for a segment; the answer is the mask of the slice."""
        i, j, k = self.ijk(ras)
        number = self.object_of(segment)
        return self.session.prompt(round(k), object=number, points=[(i, j)], labels=[int(positive)], cancel=cancel)

    def follow(self, segment: str, *, direction: str = "both", slices: Optional[int] = None, cancel: Optional[Cancel] = None) -> int:
        """Follows a segment through the volume. -> slices done"""
        done = 0
        for _ in self.session.follow(direction, objects=[self.object_of(segment)], max_frames=slices, cancel=cancel):
            done += 1
        return done

    def name(self, segment: str, name: str, colour: Sequence[int]) -> None:
        """Name and colour (three numbers up to 255) of a segment, for what the session writes. Changes nothing where they are so already,
        so that undo has no empty steps."""
        number = self.object_of(segment)
        known, wanted = self.session.object(number), "#" + "".join(f"{part:02x}" for part in colour)
        if (known.get("name"), known.get("colour")) != (name, wanted):
            self.session.set_object(number, name=name, colour=wanted)

    def voxels(self, segment: str) -> npt.NDArray[np.uint8]:
        """The segment's voxels as the session has them, `[k, j, i]`, 0 and 1."""
        number = self.object_of(segment)
        return (self.session.labels().numpy() == number).astype(np.uint8)
