"""The structs and functions of ``plugin/include/sam_octa2.h`` for ctypes. ``tests/test_header.py`` compares the two."""

from __future__ import annotations

from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any, Dict, List, Tuple

#: the only value of ``sam_octa2_abi_version`` that this package knows
VERSION = 1

PROMPT_PATIENT = 1
PROMPT_REPLACE = 2

#: `SAM_OCTA2_FORM_...`
FORMS = {"dense": 0, "labels": 1, "probability": 2, "logits": 3}

PROGRESS = CFUNCTYPE(c_int32, c_void_p, c_char_p, c_uint64, c_uint64)
LOG = CFUNCTYPE(None, c_void_p, c_int32, c_char_p)
RELEASE = CFUNCTYPE(None, c_void_p)
SLICE = CFUNCTYPE(c_int32, c_void_p, c_uint64, POINTER(c_void_p), c_size_t, c_uint64, c_uint64)
ANSWER = CFUNCTYPE(None, c_void_p, c_char_p)


class Host(Structure):
    """``sam_octa2_host``"""

    _fields_ = [("size", c_size_t), ("context", c_void_p), ("progress", PROGRESS), ("log", LOG), ("cancel", c_void_p)]


class View(Structure):
    """``sam_octa2_view``"""

    _fields_ = [
        ("size", c_size_t),
        ("data", c_void_p),
        ("dtype", c_uint32),
        ("dimensions", c_uint32),
        ("shape", c_int64 * 4),
        ("strides", c_int64 * 4),
        ("has_affine", c_int32),
        ("affine", c_double * 16),
        ("owner", c_void_p),
        ("release", RELEASE),
    ]


class Prompt(Structure):
    """``sam_octa2_prompt``"""

    _fields_ = [
        ("size", c_size_t),
        ("frame", c_int64),
        ("object", c_uint32),
        ("flags", c_uint32),
        ("points", c_void_p),
        ("labels", c_void_p),
        ("point_count", c_size_t),
        ("bounds", c_void_p),
        ("mask", POINTER(View)),
    ]


class OnSlice(Structure):
    """``sam_octa2_on_slice``"""

    _fields_ = [("size", c_size_t), ("context", c_void_p), ("call", SLICE)]


class Reply(Structure):
    """``sam_octa2_reply``"""

    _fields_ = [("to", c_void_p), ("call", ANSWER)]


CALL = CFUNCTYPE(c_int32, c_void_p, c_char_p, POINTER(Reply))


class Function(Structure):
    """``sam_octa2_function``"""

    _fields_ = [("size", c_size_t), ("context", c_void_p), ("call", CALL), ("release", RELEASE)]


_handle, _text, _out = c_void_p, c_char_p, POINTER(c_void_p)
_host, _view = POINTER(Host), POINTER(View)
_three = c_double * 3


def _fallible(*arguments: Any) -> Tuple[Any, List[Any]]:
    """A function that answers with a status and takes the place of an error last."""
    return c_int32, [*arguments, _out]


#: name without ``sam_octa2_``: type of the result, types of the arguments
FUNCTIONS: Dict[str, Tuple[Any, List[Any]]] = {
    "abi_version": (c_uint32, []),
    "manifest": (c_char_p, []),
    "start": _fallible(),
    "capabilities": _fallible(_out),
    "task": _fallible(_text, _text, _host, _out),
    "set_threads": _fallible(c_uint32),
    "selftest": _fallible(_text, _host),
    "text_free": (None, [c_void_p]),
    "error_status": (c_int32, [c_void_p]),
    "error_code": (c_char_p, [c_void_p]),
    "error_message": (c_char_p, [c_void_p]),
    "error_detail": (c_char_p, [c_void_p]),
    "error_free": (None, [c_void_p]),
    "cancel_new": (c_void_p, []),
    "cancel_trigger": (None, [c_void_p]),
    "cancel_free": (None, [c_void_p]),
    "volume_open": _fallible(_text, _text, _host, _out),
    "volume_lend": _fallible(_view, _out),
    "volume_info": _fallible(_handle, _out),
    "volume_frame": _fallible(_handle, c_uint64, _view),
    "volume_write": _fallible(_handle, _text, _host),
    "volume_to_index": _fallible(_handle, _three, _three),
    "volume_to_patient": _fallible(_handle, _three, _three),
    "volume_free": (None, [_handle]),
    "model_load": _fallible(_text, _host, _out),
    "model_describe": _fallible(_handle, _out),
    "model_free": (None, [_handle]),
    "session_create": _fallible(_handle, _handle, _text, _out),
    "session_restore": _fallible(_handle, _handle, c_void_p, c_size_t, _text, _out),
    "session_save": _fallible(_handle, _view),
    "session_describe": _fallible(_handle, _out),
    "session_encode": _fallible(_handle, c_uint64, _host),
    "session_prompt": _fallible(_handle, POINTER(Prompt), _host, _out),
    "session_remove_prompt": _fallible(_handle, c_uint64, c_uint32, c_uint64),
    "session_undo": _fallible(_handle, c_uint64, c_uint32),
    "session_clear_slice": _fallible(_handle, c_uint64, c_uint32),
    "session_remove_object": _fallible(_handle, c_uint32),
    "session_reset": _fallible(_handle),
    "session_propagate": _fallible(_handle, _text, POINTER(OnSlice), _host),
    "session_mask": _fallible(_handle, c_uint64, c_uint32, _out),
    "session_labels": _fallible(_handle, _out),
    "session_free_caches": _fallible(_handle),
    "session_free": (None, [_handle]),
    "mask_info": _fallible(_handle, _out),
    "mask_view": _fallible(_handle, c_uint32, _view),
    "mask_rle": _fallible(_handle, _out),
    "mask_dlpack": _fallible(_handle, c_uint32, _out),
    "mask_write": _fallible(_handle, _text, _text),
    "mask_retain": (c_void_p, [_handle]),
    "mask_free": (None, [_handle]),
    "history_undo": _fallible(_handle, _out),
    "history_redo": _fallible(_handle, _out),
    "history_describe": _fallible(_handle, _out),
    "history_script": _fallible(_handle, _out),
    "script_create": _fallible(_out),
    "script_add_function": _fallible(_handle, _text, POINTER(Function)),
    "script_share_volume": _fallible(_handle, _handle, POINTER(c_uint64)),
    "script_share_labels": _fallible(_handle, _handle, POINTER(c_uint64)),
    "script_volume": _fallible(_handle, c_uint64, _out),
    "script_labels": _fallible(_handle, c_uint64, _out),
    "script_run": _fallible(_handle, _text, _host, _out),
    "script_free": (None, [_handle]),
}
