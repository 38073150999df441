"""Stops calls: from another thread with a token, or with the asyncio task that waits for them."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING, Any, Callable, NoReturn, Optional, Set, TypeVar

if TYPE_CHECKING:
    from ._calls import Call

_Result = TypeVar("_Result")

#: stops every call that is made in this context, beside the token that a call was given
_ambient: contextvars.ContextVar[Optional["Cancel"]] = contextvars.ContextVar("sam_octa2_cancel", default=None)


class Cancel:
    """A token: give it to a call, and ``trigger()`` it from any thread. The call then raises `Cancelled`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._calls: Set["Call"] = set()
        self._triggered = False

    @property
    def triggered(self) -> bool:
        """Was it triggered?"""
        return self._triggered

    def trigger(self) -> None:
        """Stops the calls that got the token, and all that will get it."""
        with self._lock:
            self._triggered = True
            calls = list(self._calls)
        for call in calls:
            call.trigger()

    def _begin(self, call: "Call") -> None:
        with self._lock:
            self._calls.add(call)
        if self._triggered:
            call.trigger()

    def _end(self, call: "Call") -> None:
        with self._lock:
            self._calls.discard(call)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a Cancel stops calls of this process: it cannot be pickled or copied; make another one")


async def run_async(function: Callable[..., _Result], *arguments: Any, **keywords: Any) -> _Result:
    """Calls a function in a thread, for asyncio: ``mask = await run_async(session.click, 0, 131, 126)``.

    Where the task is cancelled, the calls of this package that the function makes are stopped and waited for (they end at once), so that the
    session is free again when the task has ended.
    """
    token = Cancel()
    context = contextvars.copy_context()
    context.run(_ambient.set, token)
    work = asyncio.get_running_loop().run_in_executor(None, lambda: context.run(function, *arguments, **keywords))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        token.trigger()
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:  # once more: the call ends all the same
                continue
        if not work.cancelled():
            work.exception()  # heard
        raise
