"""The structs of ``plugin/include/sam_octa2.h`` for ctypes. ``tests/test_header.py`` compares the two."""

from __future__ import annotations

from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p

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
        ("choice", c_uint32),
        ("line_label", c_uint32),
        ("line", c_void_p),
        ("line_count", c_size_t),
        ("line_width", c_double),
        ("polygon", c_void_p),
        ("polygon_count", c_size_t),
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
