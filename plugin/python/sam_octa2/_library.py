"""Finds the library, opens it once in a process, and calls its functions: a failed call raises `SamOcta2Error`."""

from __future__ import annotations

import ctypes
import json
import operator
import os
import threading
import weakref
from pathlib import Path
from typing import Any, Callable, Dict, List, NoReturn, Optional, Type, TypeVar, Union

from . import _abi, _errors, _torch
from ._errors import InvalidArgument, SamOcta2Error
from ._functions import FUNCTIONS

FILE = "libsam_octa2.so"
VARIABLE = "SAM_OCTA2_PLUGIN"

PathLike = Union[str, "os.PathLike[str]"]
_Handle = TypeVar("_Handle", bound="Handle")


def find(path: Optional[PathLike] = None) -> Path:
    """The library's file: `path`, else ``$SAM_OCTA2_PLUGIN``, else in this package's ``lib/``, else in the checkout's
    ``target/release``. Nothing is loaded."""
    for what, named in (("", path), (f"${VARIABLE}: ", os.environ.get(VARIABLE))):
        if named:
            file = Path(named) / FILE if Path(named).is_dir() else Path(named)
            if not file.is_file():
                raise SamOcta2Error(f"{what}{file}: not there", status=-3)
            return file.resolve()
    here = Path(__file__).resolve().parent
    places = [here / "lib" / FILE]
    if (here.parent.parent / "libsam_octa2.json").is_file():  # plugin/python/sam_octa2 of a checkout
        places.append(here.parents[2] / "target" / "release" / FILE)
    for place in places:
        if place.is_file():
            return place
    looked = ", ".join(str(place) for place in places)
    raise SamOcta2Error(f"{FILE} is not there (looked for {looked}); build it (make build) or set {VARIABLE}", status=-3)


def manifest(path: Optional[PathLike] = None) -> Dict[str, Any]:
    """Who the plugin is (`version`, `torch`, `reads`, `writes`, ...), from the file beside the library; without one, from the library."""
    file = find(path)
    beside = [file.with_suffix(".json"), file.parents[2] / "plugin" / "libsam_octa2.json"]
    for place in beside:
        if place.is_file():
            told: Dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
            return told
    return load(path).manifest


class Library:
    """The library in this process."""

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            opened = ctypes.CDLL(str(file))
            version = int(opened.sam_octa2_abi_version())
        except (OSError, AttributeError) as error:
            raise SamOcta2Error(f"{file}: is no SAM-OCTA2 library: {error}", status=-6) from None
        if version != _abi.VERSION:
            raise SamOcta2Error(
                f"{file}: has version {version} of the C interface, but this package needs {_abi.VERSION}", status=-6
            )
        self._functions: Dict[str, Any] = {}
        for name, (result, arguments) in FUNCTIONS.items():
            try:
                function = getattr(opened, f"sam_octa2_{name}")
            except AttributeError:
                raise SamOcta2Error(f"{file}: is older than this package: it has no sam_octa2_{name}", status=-6) from None
            function.restype, function.argtypes = result, arguments
            self._functions[name] = function
        self.manifest: Dict[str, Any] = json.loads(self.plain("manifest"))
        self._start = threading.Lock()
        self._started = False

    def start(self) -> None:
        """Opens the engine and libtorch. Called by everything that computes; does nothing the second time."""
        with self._start:
            if not self._started:
                _torch.open_beside(self.file, self.manifest["torch"])
                self._checked("start")
                _torch.guard(self.manifest["torch"])
                self._started = True

    def plain(self, name: str, *arguments: Any) -> Any:
        """Calls a function that cannot fail."""
        return self._functions[name](*arguments)

    def call(self, name: str, *arguments: Any) -> None:
        """Calls a function that can fail; the place of its error is added here."""
        if not self._started and (name != "task" or self._needs_torch(arguments[0])):
            self.start()
        self._checked(name, *arguments)

    def _needs_torch(self, task: bytes) -> bool:
        """Some tasks, and names that are none, are the business of the library itself."""
        name = task.decode("utf-8", "replace")
        return name in self.manifest["tasks"] and name not in self.manifest.get("tasks_without_torch", ())

    def _checked(self, name: str, *arguments: Any) -> None:
        error = ctypes.c_void_p()
        status = self._functions[name](*arguments, ctypes.byref(error))
        if status != 0:
            raise self._taken(status, error)

    def _taken(self, status: int, error: ctypes.c_void_p) -> SamOcta2Error:
        def told(what: str) -> str:
            text: bytes = self.plain(f"error_{what}", error)
            return text.decode("utf-8", "replace")

        code, message, detail = told("code"), told("message"), json.loads(told("detail") or "{}")
        self.plain("error_free", error)
        return _errors.of(status, code, message, detail)

    def text(self, name: str, *arguments: Any) -> str:
        """Calls a function that replies with text."""
        reply = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(reply))
        try:
            return ctypes.string_at(reply).decode("utf-8") if reply else ""
        finally:
            self.plain("text_free", reply)

    def json(self, name: str, *arguments: Any) -> Any:
        """Calls a function that replies with JSON."""
        return json.loads(self.text(name, *arguments))

    def handle(self, name: str, *arguments: Any) -> int:
        """Calls a function that makes something; its handle."""
        made = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(made))
        if made.value is None:
            raise SamOcta2Error(f"sam_octa2_{name} made nothing")
        return made.value

    def view(self, name: str, *arguments: Any) -> _abi.View:
        """Calls a function that lends memory."""
        view = _abi.View(size=ctypes.sizeof(_abi.View))
        self.call(name, *arguments, ctypes.byref(view))
        return view


_loaded: List[Library] = []
_loading = threading.Lock()


def _in_child() -> None:
    """After a fork: a lock that another thread of the parent held would never be free."""
    global _loading
    _loading = threading.Lock()
    for library in _loaded:
        library._start = threading.Lock()


os.register_at_fork(after_in_child=_in_child)


def load(path: Optional[PathLike] = None) -> Library:
    """Opens the library, once in a process. Only needed where it lies in an unusual place; everything else calls it."""
    if path is None and _loaded:
        return _loaded[0]
    with _loading:
        if not _loaded:
            _loaded.append(Library(find(path)))
        elif path is not None and find(path) != _loaded[0].file.resolve():
            raise InvalidArgument(f"{path}: this process uses {_loaded[0].file} already, and can use only one")
        return _loaded[0]


class Handle:
    """Something of the plugin's: freed by ``close()``, at the end of a ``with`` block, or when nobody holds it any more."""

    _kind = ""
    #: what to do instead of pickling it
    _instead = "make it there"

    def __init__(self, pointer: int) -> None:
        self._pointer = pointer
        self._free: Callable[[], Any] = weakref.finalize(self, load().plain, f"{self._kind}_free", pointer)

    @classmethod
    def _of(cls: Type[_Handle], pointer: int) -> _Handle:
        """The object of a handle that the plugin made."""
        made = cls.__new__(cls)
        Handle.__init__(made, pointer)
        return made

    def close(self) -> None:
        """Frees it now. What was made from it lives on; using it afterwards is an error."""
        self._free()

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        name = type(self).__name__
        raise TypeError(f"a {name} lives in the plugin of this process: it cannot be pickled or copied; {self._instead}")

    def __enter__(self: _Handle) -> _Handle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def encoded(text: PathLike) -> bytes:
    """Text or a path for C."""
    raw = os.fsencode(text)
    if b"\0" in raw:
        raise InvalidArgument("a text holds a zero character")
    return raw


def options(**values: Any) -> Optional[bytes]:
    """The given options as JSON for C; nothing if there are none."""
    given = {key: value for key, value in values.items() if value is not None}
    return as_json(given) if given else None


def as_json(value: Any) -> bytes:
    """A value as JSON for C; paths become text, numbers of numpy plain ones."""
    return json.dumps(value, default=_plain, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} cannot be passed on")


def whole(name: str, value: Any, least: int, most: int) -> int:
    """A whole number within limits: ctypes would cut it without a word."""
    number = operator.index(value)
    if not least <= number <= most:
        raise InvalidArgument(f"{name} {number} does not exist; it is {least} to {most}")
    return number


def frame_number(value: Any) -> int:
    """A slice."""
    number = operator.index(value)
    if number < 0:
        raise InvalidArgument(f"slice {number} does not exist: slices count from 0")
    return number


def object_number(value: Any) -> int:
    """An object."""
    return whole("object", value, 1, 65535)
