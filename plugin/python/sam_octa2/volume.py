"""Stacks of slices: opened from files, or numpy arrays lent to the plugin without a copy."""

from __future__ import annotations

import ctypes
from functools import cached_property
from typing import Any, Dict, Optional, Sequence, Tuple, Union

import numpy as np
import numpy.typing as npt

from . import _memory
from ._calls import Progress, calling
from ._errors import InvalidArgument
from ._library import Handle, PathLike, encoded, frame_number, load, options
from .cancel import Cancel


class Volume(Handle):
    """A stack of slices, `[frames, rows, columns]` or with 3 channels at the end.

    It can be indexed like an array; slices are read when they are needed, which is what viewers want of files larger than memory.
    """

    _kind = "volume"
    _instead = "pass its path (Volume.open) or its values (numpy.asarray)"

    @classmethod
    def open(
        cls,
        path: PathLike,
        *,
        crop: Optional[str] = None,
        axis: Optional[str] = None,
        series: Optional[str] = None,
        uneven: Optional[bool] = None,
        volume: Optional[int] = None,
        channel: Optional[str] = None,
        spacing: Optional[Sequence[float]] = None,
        progress: Optional[Progress] = None,
        cancel: Optional[Cancel] = None,
    ) -> "Volume":
        """Opens a NIfTI, DICOM, TIFF, picture or ``.npy`` file, or a folder of slices. The options are those of docs/formats.md:
        `crop` ``"X,Y,W,H"``, `axis` ``"x"`` ``"y"`` ``"z"``, `spacing` millimetres along x, y, z, ..."""
        how = options(
            crop=crop, axis=axis, series=series, uneven=uneven, volume=volume, channel=channel, spacing=spacing
        )
        with calling(progress, cancel) as call:
            return cls._of(load().handle("volume_open", encoded(path), how, call.host))

    @classmethod
    def from_array(cls, array: Any, affine: Optional[npt.ArrayLike] = None) -> "Volume":
        """A volume over an array, which is not copied: `[frames, rows, columns]` or with 3 channels at the end, in any memory order,
        with any strides. The array is kept alive, and must not be changed, until the volume and all that was made from it are gone.

        `affine`: 4 x 4, voxel (x = column, y = row, z = frame) to millimetres in the patient, RAS+ as in NIfTI.
        """
        view = _memory.lend(array, affine)
        return cls._of(load().handle("volume_lend", view))

    @cached_property
    def info(self) -> Dict[str, Any]:
        """`path`, `format`, `shape`, `dtype`, `spacing` (x, y, z), `affine`, `geometry_known`, `lazy`."""
        told: Dict[str, Any] = load().json("volume_info", self._pointer)
        return told

    @property
    def shape(self) -> Tuple[int, ...]:
        """Frames, rows, columns, and channels if there are any."""
        return tuple(self.info["shape"])

    @property
    def ndim(self) -> int:
        """3, with channels 4."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values."""
        return np.dtype(str(self.info["dtype"]))

    @property
    def spacing(self) -> Tuple[float, float, float]:
        """Millimetres from voxel to voxel along x, y, z."""
        x, y, z = self.info["spacing"]
        return float(x), float(y), float(z)

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """Voxel (x, y, z) to millimetres in the patient, RAS+."""
        return np.array(self.info["affine"], np.float64).reshape(4, 4)

    def __len__(self) -> int:
        return self.shape[0]

    def frame(self, frame: int) -> npt.NDArray[Any]:
        """The values of one slice, read-only, in the plugin's memory."""
        return _memory.array_of(load().view("volume_frame", self._pointer, frame_number(frame)))

    def __getitem__(self, index: Any) -> Any:
        """As of an array; only the slices that are asked for are read."""
        first, *rest = index if isinstance(index, tuple) else (index,)
        if first is Ellipsis:
            first, rest = slice(None), [Ellipsis, *rest]
        if isinstance(first, slice):
            frames = range(*first.indices(len(self)))
            read = [self.frame(frame) for frame in frames]
            values = np.stack(read) if read else np.empty((0, *self.shape[1:]), self.dtype)
            return values[(slice(None), *rest)]
        return self.frame(range(len(self))[first])[tuple(rest)]

    def __array__(self, dtype: Any = None, copy: Optional[bool] = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("the slices of a volume cannot be one array without a copy")
        values: npt.NDArray[Any] = np.empty(self.shape, dtype or self.dtype)
        for frame in range(len(self)):
            values[frame] = self.frame(frame)
        return values

    def write(self, path: PathLike, *, progress: Optional[Progress] = None, cancel: Optional[Cancel] = None) -> None:
        """Writes ``.nii``, ``.nii.gz``, ``.npy``, or a folder of PNGs."""
        with calling(progress, cancel) as call:
            load().call("volume_write", self._pointer, encoded(path), call.host)

    def to_index(self, patient: Sequence[float]) -> Tuple[float, float, float]:
        """Millimetres in the patient (RAS+) to a voxel (x, y, z), with fractions."""
        return self._mapped("volume_to_index", patient)

    def to_patient(self, index: Sequence[float]) -> Tuple[float, float, float]:
        """A voxel (x, y, z) to millimetres in the patient (RAS+)."""
        return self._mapped("volume_to_patient", index)

    def _mapped(self, function: str, place: Union[Sequence[float], npt.NDArray[Any]]) -> Tuple[float, float, float]:
        if len(place) != 3:
            raise InvalidArgument(f"a place has three numbers, not {len(place)}")
        three = ctypes.c_double * 3
        found = three()
        load().call(function, self._pointer, three(*map(float, place)), found)
        return found[0], found[1], found[2]

    def __repr__(self) -> str:
        return f"<Volume {' x '.join(map(str, self.shape))} {self.dtype} {self.info['path'] or 'lent'}>"
