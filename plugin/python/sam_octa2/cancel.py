"""Stops calls from another thread."""

from __future__ import annotations

import weakref

from ._library import load


class Cancel:
    """A token: give it to a call, and ``trigger()`` it from any thread. The call then raises `Cancelled`."""

    def __init__(self) -> None:
        self._pointer: int = load().plain("cancel_new")
        self._triggered = False
        weakref.finalize(self, load().plain, "cancel_free", self._pointer)

    @property
    def triggered(self) -> bool:
        """Was it triggered?"""
        return self._triggered

    def trigger(self) -> None:
        """Stops the calls that got the token, and all that will get it."""
        self._triggered = True
        load().plain("cancel_trigger", self._pointer)
