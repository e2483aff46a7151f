"""Dreams take turns in one thread: each would only slow the others down."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from reverie.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


class Turns:
    """A queue of jobs, first come, first served.

    They run in a single thread, so that PyTorch keeps one team of helpers for all of them.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="dreams")
        self._lock = threading.Lock()
        self._queue: list[Future[Any]] = []

    def take(self, work: Callable[[], Result]) -> Future[Result]:
        """Do this when all that came before is done.

        Raises:
            WorkerError: the worker ends.
        """
        with self._lock:
            try:
                future = self._pool.submit(work)
            except RuntimeError:  # `close` was called
                raise WorkerError("the worker ends; connect again.") from None
            self._queue.append(future)
        future.add_done_callback(self._forget)
        return future

    def before(self, future: Future[Result]) -> int:
        """How many jobs are before one; 0 for the one that runs."""
        with self._lock:
            return self._queue.index(future) if future in self._queue else 0

    @property
    def waiting(self) -> int:
        """How many jobs wait for their turn."""
        with self._lock:
            return max(0, len(self._queue) - 1)

    def close(self) -> None:
        """Take no more; what runs goes on, what waits is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _forget(self, future: Future[Result]) -> None:
        with self._lock:
            if future in self._queue:
                self._queue.remove(future)
