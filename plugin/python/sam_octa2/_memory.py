"""Memory that crosses the boundary without a copy: arrays lent to the plugin, and the plugin's results as arrays."""

from __future__ import annotations

import ctypes
import itertools
import weakref
from typing import Any, Dict, Optional

import numpy as np
import numpy.typing as npt

from . import _abi
from ._errors import InvalidArgument

#: DLPack's codes of the kinds that numpy calls i, u and f
_CODES = {"i": 0, "u": 1, "f": 2}
_TYPES = {
    _CODES[kind] << 8 | 8 * size: np.dtype(f"{kind}{size}")
    for kind, sizes in (("i", (1, 2, 4, 8)), ("u", (1, 2, 4, 8)), ("f", (2, 4, 8)))
    for size in sizes
}
_NUMBERS = {dtype: number for number, dtype in _TYPES.items()}

#: arrays that the plugin reads, until it releases them
_lent: Dict[int, "npt.NDArray[Any]"] = {}
_keys = itertools.count(1)


@_abi.RELEASE
def _release(owner: int) -> None:
    _lent.pop(owner, None)


def lent_count() -> int:
    """How many arrays the plugin holds."""
    return len(_lent)


def lend(array: Any, affine: Optional[npt.ArrayLike] = None) -> _abi.View:
    """The view of an array for a function that takes it over. The array lives until the plugin releases it."""
    values = readable(array)
    view = describe(values)
    if affine is not None:
        matrix = np.asarray(affine, np.float64)
        if matrix.shape != (4, 4):
            raise InvalidArgument(f"an affine is 4 x 4 numbers, not {' x '.join(map(str, matrix.shape)) or 'one'}")
        view.has_affine = 1
        view.affine[:] = matrix.ravel().tolist()
    key = next(_keys)
    _lent[key] = values
    view.owner, view.release = key, _release
    return view


def readable(array: Any) -> npt.NDArray[Any]:
    """An array whose numbers the plugin understands, over the same memory."""
    values = np.asarray(array)
    if values.dtype == np.bool_:
        values = values.view(np.uint8)
    if not values.dtype.isnative:
        raise InvalidArgument("the array is in the other byte order; convert it: array.astype(array.dtype.newbyteorder('='))")
    if values.dtype not in _NUMBERS:
        names = ", ".join(str(dtype) for dtype in _NUMBERS)
        raise InvalidArgument(f"values of type {values.dtype} are not understood; there are bool, {names}")
    if not 1 <= values.ndim <= 4:
        raise InvalidArgument(f"an array of {values.ndim} dimensions cannot be passed on; there are 1 to 4")
    return values


def describe(values: npt.NDArray[Any]) -> _abi.View:
    """Where the values lie. The view owns nothing."""
    view = _abi.View(size=ctypes.sizeof(_abi.View), data=values.ctypes.data, dtype=_NUMBERS[values.dtype])
    view.dimensions = values.ndim
    view.shape[: values.ndim] = values.shape
    view.strides[: values.ndim] = values.strides
    return view


class Block:
    """Memory of the plugin as numpy knows it. Every array over it holds the block, and the last one releases it."""

    def __init__(self, view: _abi.View) -> None:
        weakref.finalize(self, view.release, view.owner)
        count = view.dimensions
        self.__array_interface__ = {
            "version": 3,
            "data": (view.data, True),  # read-only
            "typestr": _TYPES[view.dtype].str,
            "shape": tuple(view.shape[:count]),
            "strides": tuple(view.strides[:count]),
        }


def array_of(view: _abi.View) -> npt.NDArray[Any]:
    """The values of a view that the plugin lends, read-only and in place."""
    return np.asarray(Block(view))
