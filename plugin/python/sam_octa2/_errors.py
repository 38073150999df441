"""What goes wrong: one exception with the plugin's sentence, number, code name and detail, and a few subclasses to catch by."""

from __future__ import annotations

from typing import Any, Dict, Optional, Type

CODES = {
    -1: "cancelled",
    -2: "invalid_argument",
    -3: "not_found",
    -4: "io",
    -5: "format",
    -6: "unsupported",
    -7: "device",
    -8: "torch",
    -9: "script",
    -10: "busy",
    -11: "panic",
    -12: "failed",
}


class SamOcta2Error(Exception):
    """A call failed. ``str(error)`` is one sentence for the person at the viewer."""

    #: the number of the C interface, ``SAM_OCTA2_...``
    status: int
    #: the name of the kind: ``io``, ``format``, ``not_found``, ``invalid_argument``, ``unsupported``, ``device``, ``torch``, ...
    code: str
    #: more for programs; of a script: ``file``, ``line``, ``column``, ``excerpt``, ...
    detail: Dict[str, Any]

    def __init__(self, message: str, status: int = -12, code: str = "", detail: Optional[Dict[str, Any]] = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code or CODES.get(status, "failed")
        self.detail = detail or {}


class Cancelled(SamOcta2Error):
    """The call was stopped; what was done until then stays."""

    def __init__(self, message: str = "cancelled", status: int = -1, code: str = "cancelled", **rest: Any) -> None:
        super().__init__(message, status, code, **rest)


class InvalidArgument(SamOcta2Error, ValueError):
    """An argument makes no sense."""

    def __init__(self, message: str, status: int = -2, code: str = "invalid_argument", **rest: Any) -> None:
        super().__init__(message, status, code, **rest)


class Busy(SamOcta2Error):
    """The session or script is at work on another call."""


class ScriptError(SamOcta2Error):
    """A script failed; ``detail`` says where."""

    @property
    def line(self) -> Optional[int]:
        """The line, from 1."""
        return self.detail.get("line")

    @property
    def column(self) -> Optional[int]:
        """The column, from 1."""
        return self.detail.get("column")


_CLASSES: Dict[int, Type[SamOcta2Error]] = {-1: Cancelled, -2: InvalidArgument, -9: ScriptError, -10: Busy}


def of(status: int, code: str, message: str, detail: Dict[str, Any]) -> SamOcta2Error:
    """The exception of a C error."""
    return _CLASSES.get(status, SamOcta2Error)(message, status=status, code=code, detail=detail)
