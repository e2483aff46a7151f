"""How long a dream still takes, from how long it took so far."""

from __future__ import annotations

_WEIGHT = 0.3
"""How much the last step counts in the mean of all."""
_FIRST = 2
"""Steps before anything is said: the first one also prepares much."""


class Pace:
    """Follows a dream's steps.

    `done` counts pixels, and small octaves take longer for each than large ones: what was measured
    last counts more.
    """

    def __init__(self) -> None:
        self._steps = 0
        self._before = (0.0, 0.0)
        self._pace = 0.0

    def seconds_left(self, done: float, now: float) -> float | None:
        """Say how many seconds are left after a step; None for the first ones.

        Args:
            done: how much of all is done, 0..1; more than the last time.
            now: seconds of a clock that never goes back.
        """
        self._steps += 1
        last_done, last = self._before
        self._before = (done, now)
        if self._steps == 1:
            return None
        pace = (now - last) / (done - last_done)
        self._pace = pace if not self._pace else self._pace + _WEIGHT * (pace - self._pace)
        return None if self._steps <= _FIRST else self._pace * (1 - done)
