"""One job after the other in napari's worker threads."""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, Deque, Optional, Tuple

from napari.qt.threading import create_worker

from sam_octa2 import Cancel, Cancelled


class Jobs:
    """A queue. `began` hears the name of a job, `yielded` what it yields, `finished` its result and what went wrong."""

    def __init__(
        self,
        began: Callable[[str], None],
        yielded: Callable[[Any], None],
        finished: Callable[[Any, Optional[str]], None],
    ) -> None:
        self._began, self._yielded, self._told = began, yielded, finished
        self._waiting: Deque[Tuple[str, Callable[..., Any], Tuple[Any, ...]]] = deque()
        self._worker: Any = None
        self._result: Any = None
        self._problem: Optional[str] = None
        #: stops the job under way
        self.token = Cancel()

    @property
    def busy(self) -> bool:
        """Is there work under way?"""
        return self._worker is not None

    def do(self, name: str, work: Callable[..., Any], *arguments: Any) -> None:
        """Does something as soon as the others are done."""
        self._waiting.append((name, work, arguments))
        self._next()

    def cancel(self) -> None:
        """Stops what runs and forgets what waits."""
        self._waiting.clear()
        self.token.trigger()

    def _next(self) -> None:
        if self._worker is not None or not self._waiting:
            return
        name, work, arguments = self._waiting.popleft()
        self.token = Cancel()
        self._result = self._problem = None
        self._began(name)
        self._worker = create_worker(work, *arguments, _ignore_errors=True, _start_thread=False)
        self._worker.errored.connect(self._failed)
        self._worker.returned.connect(self._returned)
        self._worker.finished.connect(self._finished)
        if hasattr(self._worker, "yielded"):
            self._worker.yielded.connect(self._yielded)
        self._worker.start()

    def _returned(self, result: Any) -> None:
        self._result = result

    def _failed(self, error: Exception) -> None:
        self._waiting.clear()
        self._problem = "cancelled" if isinstance(error, Cancelled) else str(error)

    def _finished(self) -> None:
        self._worker = None
        self._told(self._result, self._problem)
        self._next()
