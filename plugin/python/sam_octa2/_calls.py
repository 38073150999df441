"""Long calls: progress, log and cancel on their way between the plugin and Python.

No exception may leave a function that C calls. Here it is kept, the call is stopped, and the exception is raised again afterwards.
"""

from __future__ import annotations

import atexit
import ctypes
import itertools
import logging
import os
import signal
import threading
import time
import weakref
from contextlib import contextmanager
from types import FrameType
from typing import Any, Callable, Dict, Iterator, Optional, TypeVar

from . import _abi
from ._errors import Cancelled, SamOcta2Error
from ._library import load
from .cancel import Cancel, _ambient

#: ``progress(stage, done, total)``; ``False`` stops the call
Progress = Callable[[str, int, int], Optional[bool]]

_Answer = TypeVar("_Answer")

_LEVELS = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}
_PRINTED = 16
_log = logging.getLogger("sam_octa2")
_running: Dict[int, "Call"] = {}
_keys = itertools.count(1)


class Call:
    """A call under way."""

    def __init__(
        self, progress: Optional[Progress], cancel: Optional[Cancel], printed: Optional[Callable[[str], Any]] = None
    ) -> None:
        self.key = next(_keys)
        self.progress = progress
        self.tokens = {token for token in (cancel, _ambient.get()) if token is not None}
        self._pointer: int = load().plain("cancel_new")  # of this call alone; the plugin looks at it until the call ends
        # not when Python ends: a thread may still be in the call then, and looks at it
        weakref.finalize(self, load().plain, "cancel_free", self._pointer).atexit = False
        self.printed = printed or print
        self.on_slice: Callable[..., Any] = lambda *_: None
        self.stopped = False
        self.raised: Optional[BaseException] = None
        self.host = _abi.Host(
            size=ctypes.sizeof(_abi.Host),
            context=self.key,
            progress=_progress,
            log=_logged,
            cancel=self._pointer,
        )

    def guarded(self, work: Callable[..., Any], *arguments: Any) -> int:
        """Runs a function of the user's; 0 to go on, 1 to stop the call."""
        if not self.stopped:
            try:
                if work(*arguments) is False:
                    self.stopped = True
            except BaseException as error:  # whatever it is, it must not reach C
                self.stop(error)
        return int(self.stopped)

    def stop(self, reason: Optional[BaseException] = None) -> None:
        """Ends the call as soon as it can, with an exception to be raised then."""
        self.stopped = True
        self.raised = self.raised or reason
        self.trigger()

    def trigger(self) -> None:
        """Ends the call as soon as it can."""
        load().plain("cancel_trigger", self._pointer)


def running(context: int) -> Optional[Call]:
    """The call to which the plugin's `context` belongs."""
    return _running.get(context)


@_abi.PROGRESS
def _progress(context: int, stage: bytes, done: int, total: int) -> int:
    call = running(context)
    if call is None:
        return 1
    if call.progress is None:
        return int(call.stopped)
    return call.guarded(call.progress, stage.decode("utf-8", "replace"), done, total)


@_abi.LOG
def _logged(context: int, severity: int, line: bytes) -> None:
    call = running(context)
    if call is not None:
        call.guarded(_hear, call, severity, line.decode("utf-8", "replace"))


def _hear(call: Call, severity: int, line: str) -> None:
    if severity == _PRINTED:
        call.printed(line)
    else:
        _log.log(_LEVELS.get(severity, logging.INFO), "%s", line)


@contextmanager
def calling(
    progress: Optional[Progress] = None,
    cancel: Optional[Cancel] = None,
    printed: Optional[Callable[[str], Any]] = None,
) -> Iterator[Call]:
    """The time of one long call: ``with calling(progress, cancel) as call: library.call(..., call.host)``."""
    call = Call(progress, cancel, printed)
    _running[call.key] = call
    restore = _take_interrupts(call)
    try:
        for token in call.tokens:
            token._begin(call)
        yield call
    except SamOcta2Error as error:
        if call.raised is None:
            raise
        if not isinstance(error, Cancelled):
            raise error from call.raised
    finally:
        restore()
        for token in call.tokens:
            token._end(call)
        _running.pop(call.key, None)
    if call.raised is not None:
        raise call.raised


def long(
    kind: Callable[..., _Answer],
    name: str,
    *arguments: Any,
    progress: Optional[Progress] = None,
    cancel: Optional[Cancel] = None,
) -> _Answer:
    """A long call whose host comes last: ``long(library.handle, "session_labels", pointer, cancel=token)``."""
    with calling(progress, cancel) as call:
        return kind(name, *arguments, call.host)


def _take_interrupts(call: Call) -> Callable[[], Any]:
    """Ctrl-C during a call: Python would raise it in the function that C happens to call. Here it stops the call."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        return lambda: None  # the program has its own way, or an outer call has

    def interrupted(number: int, frame: Optional[FrameType]) -> None:
        call.stop(KeyboardInterrupt())

    signal.signal(signal.SIGINT, interrupted)
    return lambda: signal.signal(signal.SIGINT, before)


# the calls of other threads stay in the parent
os.register_at_fork(after_in_child=_running.clear)


@atexit.register
def _end_all() -> None:
    """A thread in a call must not come back to Python when that has gone: calls that still run are stopped, for ten seconds."""
    for call in list(_running.values()):
        call.stop()
    patience = time.monotonic() + 10
    while _running and time.monotonic() < patience:
        time.sleep(0.01)
