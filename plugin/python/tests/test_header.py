"""The declarations for ctypes are those of the C header."""

import re
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p

import pytest
from conftest import ROOT

from sam_octa2 import _abi, _errors
from sam_octa2._functions import FUNCTIONS

HEADER = (ROOT / "plugin/include/sam_octa2.h").read_text()
CODE = re.sub(r"//[^\n]*|/\*.*?\*/", "", HEADER, flags=re.DOTALL)

PLAIN = {
    "void": None,
    "int32_t": c_int32,
    "int64_t": c_int64,
    "uint32_t": c_uint32,
    "uint64_t": c_uint64,
    "size_t": c_size_t,
    "double": c_double,
}
STRUCTS = {
    "sam_octa2_host": _abi.Host,
    "sam_octa2_view": _abi.View,
    "sam_octa2_prompt": _abi.Prompt,
    "sam_octa2_on_slice": _abi.OnSlice,
    "sam_octa2_reply": _abi.Reply,
    "sam_octa2_function": _abi.Function,
}


def same(c_type, python_type):
    """Does a C type, its stars included, fit what ctypes is told?"""
    base, stars = re.sub(r"\b(const|struct)\b", "", c_type).replace("*", "").strip(), c_type.count("*")
    if stars == 0:
        return python_type is PLAIN[base]
    if stars == 1 and base == "char":
        return python_type in (c_char_p, c_void_p)
    if stars == 1 and base in STRUCTS:
        return python_type == POINTER(STRUCTS[base])
    if stars == 1 and base == "uint64_t":
        return python_type == POINTER(c_uint64)
    if stars == 2:
        return python_type == POINTER(c_void_p)
    return python_type is c_void_p or python_type is c_double * 3


def split(parameter):
    """`const char *path` -> type and name."""
    kind, name = re.fullmatch(r"(.*?[\s*])(\w+)", parameter.strip(), re.DOTALL).groups()
    return " ".join(kind.split()), name


def test_functions():
    declared = re.findall(r"^(\w[\w ]*[\s*])sam_octa2_(\w+)\(([^)]*)\);", CODE, re.MULTILINE)
    assert {name for _, name, _ in declared} == set(FUNCTIONS)
    for answer, name, parameters in declared:
        result, arguments = FUNCTIONS[name]
        assert same(answer, result), name
        wanted = [] if parameters.strip() == "void" else [split(p) for p in parameters.split(",")]
        assert len(wanted) == len(arguments), name
        for (kind, parameter), given in zip(wanted, arguments):
            assert same(kind, given), f"{name}: {parameter}"


@pytest.mark.parametrize("name", STRUCTS)
def test_structs(name):
    body = re.search(rf"struct {name} \{{(.*?)\n\}};", CODE, re.DOTALL).group(1)
    fields = [" ".join(field.split()) for field in body.split(";") if field.strip()]
    assert len(fields) == len(STRUCTS[name]._fields_)
    for field, (known, kind) in zip(fields, STRUCTS[name]._fields_):
        function = re.fullmatch(r"(\w+) \(\*(\w+)\)\((.*)\)", field)
        array = re.fullmatch(r"(\w+) (\w+)\[(\d+)\]", field)
        if function:
            answer, field_name, parameters = function.groups()
            assert issubclass(kind, CFUNCTYPE(None).__base__) and same(answer, kind._restype_), field
            kinds = [split(parameter)[0] for parameter in parameters.split(",")]
            assert all(map(same, kinds, kind._argtypes_)) and len(kinds) == len(kind._argtypes_), field
        elif array:
            base, field_name, count = array.groups()
            assert kind is PLAIN[base] * int(count), field
        else:
            c_type, field_name = split(field)
            assert same(c_type, kind), field
        assert field_name == known


def test_numbers():
    numbers = dict(re.findall(r"#define SAM_OCTA2_(\w+) (-?\d+)", HEADER))
    assert {name.lower(): int(number) for name, number in numbers.items() if number.startswith("-")} == {
        name: number for number, name in _errors.CODES.items()
    }
    assert {name[5:].lower(): int(n) for name, n in numbers.items() if name.startswith("FORM_")} == _abi.FORMS
    assert int(numbers["PROMPT_PATIENT"]) == _abi.PROMPT_PATIENT and int(numbers["PROMPT_REPLACE"]) == _abi.PROMPT_REPLACE
