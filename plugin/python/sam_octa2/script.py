"""Rhai scripts, and Python functions that scripts call as ``viewer::name(...)``.

::

    script = Script()

    @script.function
    def choose(title: str, volume: Volume) -> Labels:
        "Asks the user for the labels of a volume."
        ...

    script.run('viewer::choose("Which?", open_volume(arg("input")))', args={"input": "stack.nii.gz"})
"""

from __future__ import annotations

import ctypes
import inspect
import itertools
import json
import os
import typing
from typing import Any, Callable, Dict, List, Optional, Sequence, TypeVar

from . import _abi
from ._calls import Progress, calling
from ._errors import InvalidArgument
from ._library import Handle, PathLike, as_json, load
from .cancel import Cancel
from .mask import Labels
from .volume import Volume

_Function = TypeVar("_Function", bound=Callable[..., Any])

#: what a type hint is called in an error, and what is accepted for it
_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a map",
    Volume: "a volume",
    Labels: "labels",
}


class Script(Handle):
    """A script engine with the functions of this program. One script at a time: another one meanwhile raises `Busy`."""

    _kind = "script"
    _instead = "pass its text, and make a Script there"

    def __init__(self) -> None:
        super().__init__(load().handle("script_create"))

    def function(self, function: _Function) -> _Function:
        """Lets scripts call a function; to be written above it: ``@script.function``."""
        self.add(function)
        return function

    def add(self, function: Callable[..., Any], name: Optional[str] = None) -> None:
        """Lets scripts call `function` as ``viewer::name(...)``. Its docstring and parameters are shown to users; arguments are checked
        against its type hints; what it raises fails the script with one sentence. It runs on the thread of `run`."""
        hosted = _Hosted(self._pointer, function, name or function.__name__)
        key = next(_keys)
        _functions[key] = hosted
        struct = _abi.Function(size=ctypes.sizeof(_abi.Function), context=key, call=_called, release=_released)
        load().call("script_add_function", self._pointer, as_json(hosted.declaration), struct)

    def run(
        self,
        source: Optional[str] = None,
        *,
        path: Optional[PathLike] = None,
        args: Optional[Dict[str, Any]] = None,
        limits: Optional[Dict[str, float]] = None,
        roots: Optional[Dict[str, Sequence[PathLike]]] = None,
        library: Optional[PathLike] = None,
        keep: bool = False,
        printed: Optional[Callable[[str], Any]] = None,
        progress: Optional[Progress] = None,
        cancel: Optional[Cancel] = None,
    ) -> Any:
        """Runs a script, from text or from a file; its last value. The script reads `args` with ``arg("key")``; volumes and labels may be
        among them and in the result. What it prints goes to `printed`.

        It reads and writes below ``roots={"read": [...], "write": [...]}``, and nowhere else (what is not named is denied); without `roots`
        everywhere. It imports from its own folder and `library`;
        uses up no more than `limits` (docs/scripting.md). With `keep` its variables and functions are there for the next script with `keep`."""
        if (source is None) == (path is None):
            raise InvalidArgument("a script is either `source` or `path`")
        request = {"source": source, "path": path, "args": _told(self._pointer, args or {}), "limits": limits}
        request.update(library=library, keep=keep or None)
        if roots is not None:
            request["roots"] = {which: _several(folders) for which, folders in roots.items()}
        given = {key: value for key, value in request.items() if value is not None}
        with calling(progress, cancel, printed) as call:
            return _heard(self._pointer, load().json("script_run", self._pointer, as_json(given), call.host)["result"])


def _several(folders: Any) -> Any:
    """One folder or several."""
    return [folders] if isinstance(folders, (str, os.PathLike)) else folders and list(folders)


class _Hosted:
    """A function of this program, as scripts see it."""

    def __init__(self, script: int, function: Callable[..., Any], name: str) -> None:
        self.script = script
        self.function = function
        try:
            hints = typing.get_type_hints(function)
        except NameError:  # a type that is not known where the function is
            hints = {}
        self.parameters = list(inspect.signature(function).parameters.values())
        if any(p.kind in (p.VAR_POSITIONAL, p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in self.parameters):
            raise InvalidArgument(f"{name}: scripts can only pass arguments by place: no *arguments, no keywords")
        self.hints = {p.name: _plain_type(hints.get(p.name)) for p in self.parameters}
        self.declaration = {
            "name": name,
            "doc": self._doc(name, hints),
            "parameters": [{"name": p.name, "optional": p.default is not p.empty} for p in self.parameters],
        }

    def _doc(self, name: str, hints: Dict[str, Any]) -> str:
        """The signature with its types, and the docstring."""
        shown = [p.name + (f": {_type_name(hints[p.name])}" if p.name in hints else "") for p in self.parameters]
        answer = f" -> {_type_name(hints['return'])}" if "return" in hints else ""
        return f"{name}({', '.join(shown)}){answer}\n\n{inspect.getdoc(self.function) or ''}".strip()

    def answer(self, arguments: List[Any]) -> bytes:
        """Calls the function."""
        values = [_heard(self.script, value) for value in arguments]
        checked = [_fitting(p.name, self.hints[p.name], value) for p, value in zip(self.parameters, values)]
        return as_json(_told(self.script, self.function(*checked)))


def _plain_type(hint: Any) -> Optional[type]:
    """The type that a hint names: ``Optional[int]`` and ``List[int]`` too. None: anything fits."""
    hint = next((part for part in typing.get_args(hint) if part is not type(None)), hint) if _is_optional(hint) else hint
    plain = typing.get_origin(hint) or hint
    return plain if plain in _NAMES else None


def _is_optional(hint: Any) -> bool:
    parts = typing.get_args(hint)
    return len(parts) == 2 and type(None) in parts


def _type_name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def _fitting(name: str, hint: Optional[type], value: Any) -> Any:
    """The value in the type of the hint."""
    if hint is None or value is None:
        return value
    if hint is float and type(value) is int:
        return float(value)
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise TypeError(f"{name}: expected {_NAMES[hint]}, got {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    return _NAMES[type(value)] if type(value) in (list, dict, Volume, Labels) else json.dumps(value)


def _told(script: int, value: Any) -> Any:
    """A value for a script; volumes and labels go as handles."""
    for kind, share in ((Volume, "script_share_volume"), (Labels, "script_share_labels")):
        if isinstance(value, kind):
            number = ctypes.c_uint64()
            load().call(share, script, value._pointer, ctypes.byref(number))
            return {"handle": number.value}
    if isinstance(value, dict):
        return {str(key): _told(script, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_told(script, item) for item in value]
    return value


def _heard(script: int, value: Any) -> Any:
    """A value of a script."""
    if isinstance(value, dict):
        kind = value.get("kind") if "handle" in value else None
        if kind == "volume":
            return Volume._of(load().handle("script_volume", script, value["handle"]))
        if kind == "labels":
            return Labels._of(load().handle("script_labels", script, value["handle"]))
        return {key: _heard(script, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_heard(script, item) for item in value]
    return value


_functions: Dict[int, _Hosted] = {}
_keys = itertools.count(1)


@_abi.CALL
def _called(context: int, arguments: bytes, reply: Any) -> int:
    try:
        answer, status = _functions[context].answer(json.loads(arguments)), 0
    except BaseException as error:  # no exception may reach C
        answer, status = _sentence(error).encode("utf-8", "replace").replace(b"\0", b" "), 1
    reply.contents.call(reply.contents.to, answer)
    return status


@_abi.RELEASE
def _released(context: int) -> None:
    _functions.pop(context, None)


def _sentence(error: BaseException) -> str:
    """What went wrong, in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, KeyError):
        text = f"there is no {text}"
    return text or type(error).__name__
