"""What a dream has to say, kept until its client takes it: a slow client slows no dream."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

Report = tuple[dict[str, Any], bytes]
"""A message and the bytes of its frame."""


class Outbox:
    """Reports on their way from the dreaming thread to the connection's."""

    def __init__(self) -> None:
        self._reports: deque[Report] = deque()
        self._changed = threading.Condition()
        self._closed = False

    @property
    def has_frame(self) -> bool:
        """A frame waits to be taken; another one would only add to the heap."""
        with self._changed:
            return any(frame for _, frame in self._reports)

    def put(self, message: dict[str, Any], frame: bytes = b"") -> None:
        """Add a report."""
        with self._changed:
            self._reports.append((message, frame))
            self._changed.notify()

    def close(self) -> None:
        """Say that no more will come."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def take(self, timeout: float) -> list[Report]:
        """Give what is there; wait for the first, but no longer than this many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._reports or self._closed, timeout)
            reports = list(self._reports)
            self._reports.clear()
            return reports
