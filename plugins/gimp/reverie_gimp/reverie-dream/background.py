"""Questions to the worker while the dialog lives: asked in a thread, answered in GTK's own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from gi.repository import GLib

from worker_client import Cancelled, WorkerError, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from facts import Facts
    from worker_client import Connection


def ask_worker(
    facts: Facts, request: dict[str, Any], then: Callable[[dict[str, Any]], None]
) -> None:
    """Ask, and call `then` with the answer; with none if the worker cannot answer."""

    def job(link: Connection) -> None:
        link.ask(request)
        answer, _ = link.receive()
        in_gtk(then, answer)

    Task(facts, job, lambda _: None).start()


def in_gtk(function: Callable[..., None], *values: object) -> None:
    """Call a function soon, in the thread that GTK lives in."""

    def once() -> bool:
        function(*values)
        return False

    GLib.idle_add(once)


class Task(threading.Thread):
    """One connection to the worker in a thread of its own.

    Args:
        facts: how to reach the worker.
        job: talks over the connection; it uses neither GTK nor GIMP, but `in_gtk`.
        failed: called in GTK's thread with the sentence that says why it failed.
    """

    def __init__(
        self, facts: Facts, job: Callable[[Connection], None], failed: Callable[[str], None]
    ) -> None:
        super().__init__(daemon=True)
        self._facts, self._job, self._failed = facts, job, failed
        self._is_cancelled = False

    def cancel(self) -> None:
        """End it soon, without waiting."""
        self._is_cancelled = True

    def run(self) -> None:
        """Connect and talk."""
        try:
            with connect(vars(self._facts), self._idle) as link:
                self._job(link)
        except Cancelled:
            pass
        except WorkerError as error:
            sentence = str(error)
            if not self._is_cancelled:
                in_gtk(self._failed, sentence)

    def _idle(self) -> None:
        if self._is_cancelled:
            raise Cancelled
