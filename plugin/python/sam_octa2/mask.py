"""Results: the mask of an object on a slice, and the object numbers of a whole stack, as arrays over the plugin's memory."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from . import _abi, _dlpack, _memory
from ._calls import Progress, long
from ._errors import InvalidArgument
from ._library import Handle, PathLike, encoded, load, options
from .cancel import Cancel

if TYPE_CHECKING:
    from .volume import Volume


class _Result(Handle):
    """What masks and labels have in common. Nothing of it ever changes."""

    _kind = "mask"
    _instead = "pass its values (numpy())"
    _form = "dense"

    @cached_property
    def info(self) -> Dict[str, Any]:
        """In numbers."""
        told: Dict[str, Any] = load().json("mask_info", self._pointer)
        return told

    @property
    def shape(self) -> Tuple[int, ...]:
        """Rows and columns, before them frames for labels."""
        return tuple(self.info["shape"])

    def numpy(self, form: Optional[str] = None) -> npt.NDArray[Any]:
        """The values in place, read-only: ``dense`` (uint8, 1 where the object is), ``labels`` (uint16 object numbers), and of a mask
        ``probability`` (float32, 0 to 1) and ``logits`` (float32, positive where the object is). The array outlives the mask."""
        return _memory.array_of(load().view("mask_view", self._pointer, _number(form or self._form)))

    def __array__(self, dtype: Any = None, copy: Optional[bool] = None) -> npt.NDArray[Any]:
        values = self.numpy()
        if dtype is not None and np.dtype(dtype) != values.dtype:
            if copy is False:
                raise ValueError(f"{values.dtype} cannot be had as {np.dtype(dtype)} without a copy")
            return values.astype(dtype)
        return values.copy() if copy else values

    def dlpack(self, form: Optional[str] = None) -> "_Tensor":
        """The values in another form for ``from_dlpack``: ``torch.from_dlpack(mask.dlpack("logits"))``. Whoever takes them gets a copy; with
        ``copy=False`` the plugin's memory itself, marked as read-only (`numpy()` gives an array over it)."""
        return _Tensor(self, form or self._form)

    def __dlpack__(self, **wishes: Any) -> Any:
        return self.dlpack().__dlpack__(**wishes)

    def __dlpack_device__(self) -> Tuple[int, int]:
        return _dlpack.CPU

    def rle(self, *, progress: Optional[Progress] = None, cancel: Optional[Cancel] = None) -> Any:
        """COCO run lengths: ``{"size": [rows, columns], "counts": [...]}``; of labels a list of these with `frame` and `object`."""
        return long(load().json, "mask_rle", self._pointer, progress=progress, cancel=cancel)


class Mask(_Result):
    """One object on one slice."""

    @property
    def frame(self) -> int:
        """The slice."""
        return int(self.info["frame"])

    @property
    def object(self) -> int:
        """The object's number."""
        return int(self.info["object"])

    @property
    def iou(self) -> float:
        """How good the model thinks the mask is, 0 to 1."""
        return float(self.info["iou"])

    @property
    def score(self) -> float:
        """Positive: the object is on this slice."""
        return float(self.info["score"])

    @property
    def area(self) -> int:
        """Its pixels."""
        return int(self.info["area"])

    def __repr__(self) -> str:
        return f"<Mask of object {self.object} on slice {self.frame}: {self.area} pixels, iou {self.iou:.2f}>"


class Labels(_Result):
    """Object numbers of a whole stack, `[frames, rows, columns]`; 0 where no object is."""

    _form = "labels"

    @classmethod
    def of(cls, volume: "Volume", values: npt.ArrayLike) -> "Labels":
        """Labels that did not come out of a session: object numbers from 0 to 65535, `[frames, rows, columns]`, on the grid of a volume, with
        whose geometry `write` writes them."""
        from .script import Script
        from .volume import Volume

        numbers = np.ascontiguousarray(values)
        if numbers.ndim != 3:
            raise InvalidArgument(f"labels are [frames, rows, columns], not {numbers.ndim} axes")
        args = {"volume": volume, "values": Volume.from_array(numbers)}
        made: "Labels" = Script().run('arg("volume").labels_from(arg("values"))', args=args)
        return made

    @property
    def objects(self) -> List[int]:
        """Numbers of the objects that have voxels, ascending."""
        return list(self.info["objects"])

    def write(
        self,
        path: PathLike,
        *,
        properties: Optional[Sequence[str]] = None,
        deterministic: Optional[bool] = None,
        description: Optional[str] = None,
        number: Optional[int] = None,
        algorithm: Optional[str] = None,
        progress: Optional[Progress] = None,
        cancel: Optional[Cancel] = None,
    ) -> None:
        """Writes ``.nii``, ``.nii.gz``, ``.npy``, ``.tif``, ``.json`` (COCO), ``.dcm`` (DICOM Segmentation of a DICOM volume), or a folder
        of PNGs. The options are what a ``.dcm`` says (docs/formats.md): `properties` such as ``["vessel", "2=faz"]``, ..."""
        how = options(
            properties=properties,
            deterministic=deterministic,
            description=description,
            number=number,
            algorithm=algorithm,
        )
        long(load().call, "mask_write", self._pointer, encoded(path), how, progress=progress, cancel=cancel)

    def __repr__(self) -> str:
        return f"<Labels {' x '.join(map(str, self.shape))}, objects {json.dumps(self.objects)}>"


class _Tensor:
    """Values in one form for ``from_dlpack``."""

    def __init__(self, result: _Result, form: str) -> None:
        self._result, self._form = result, form

    def __dlpack_device__(self) -> Tuple[int, int]:
        return _dlpack.CPU

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: Optional[Tuple[int, int]] = None,
        dl_device: Optional[Tuple[int, int]] = None,
        copy: Optional[bool] = None,
    ) -> Any:
        if stream is not None or tuple(dl_device or _dlpack.CPU) != _dlpack.CPU:
            raise BufferError("the values are in the memory of the CPU")
        # DLPack 1 can say "read-only", but torch and others pass over it and would write into the plugin's masks
        if copy is not False:
            return self._result.numpy(self._form).copy().__dlpack__()
        if max_version is None or max_version[0] < 1:
            raise BufferError("read-only values without a copy need DLPack 1.0 (numpy 2.1, torch 2.9 or newer)")
        tensor = load().handle("mask_dlpack", self._result._pointer, _number(self._form))
        return _dlpack.capsule(tensor)


def _number(form: str) -> int:
    try:
        return _abi.FORMS[form]
    except KeyError:
        raise InvalidArgument(f'"{form}" is no form of a mask; there are {", ".join(_abi.FORMS)}') from None
