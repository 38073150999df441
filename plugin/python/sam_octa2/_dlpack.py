"""DLPack capsules by hand: a ``DLManagedTensorVersioned`` of the plugin's for ``from_dlpack`` of numpy, torch, jax and others."""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, PYFUNCTYPE, Structure, c_char_p, c_int, c_uint32, c_uint64, c_void_p, py_object
from typing import Any

#: (kDLCPU, 0)
CPU = (1, 0)

_NAME = b"dltensor_versioned"  # lives as long as the capsules: they keep its address
_DELETER = CFUNCTYPE(None, c_void_p)


class _Managed(Structure):
    """The beginning of ``DLManagedTensorVersioned``."""

    _fields_ = [
        ("major", c_uint32),
        ("minor", c_uint32),
        ("manager_ctx", c_void_p),
        ("deleter", _DELETER),
        ("flags", c_uint64),
    ]


_new = ctypes.pythonapi.PyCapsule_New
_new.restype, _new.argtypes = py_object, [c_void_p, c_char_p, c_void_p]
# the capsule that is about to go is no object any more: its address is passed on
_is_valid = PYFUNCTYPE(c_int, c_void_p, c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
_get_pointer = PYFUNCTYPE(c_void_p, c_void_p, c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))


@PYFUNCTYPE(None, c_void_p)
def _gone(capsule: int) -> None:
    """Nobody took the tensor: a taken one has another name, and belongs to who took it."""
    if _is_valid(capsule, _NAME):
        tensor = _get_pointer(capsule, _NAME)
        _Managed.from_address(tensor).deleter(tensor)


def capsule(tensor: int) -> Any:
    """A capsule that owns the tensor."""
    return _new(tensor, _NAME, ctypes.cast(_gone, c_void_p))
