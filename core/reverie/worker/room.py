"""How much of pictures is in the worker at once, all clients together."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reverie.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 300_000_000
"""px of all parts and guides together, and so of one."""


class Room:
    """Counts px."""

    def __init__(self, most: int = MOST) -> None:
        self._most = self._left = most
        self._lock = threading.Lock()

    @contextmanager
    def take(self, pixels: int) -> Iterator[None]:
        """Have room for a part, and the guide that belongs to it.

        Raises:
            WorkerError: others need it, or nobody could have so much.
        """
        if pixels > self._most:
            raise WorkerError(
                f"picture and guide have more than {self._most // 10**6} megapixels together; make "
                "the guide smaller."
            )
        with self._lock:
            if pixels > self._left:
                raise WorkerError(
                    "other large pictures are being dreamed on; try again when they are done."
                )
            self._left -= pixels
        try:
            yield
        finally:
            with self._lock:
                self._left += pixels
