from __future__ import annotations

import pytest

from reverie.worker.pace import Pace


def test_the_first_steps_say_nothing() -> None:
    pace = Pace()
    assert pace.seconds_left(0.1, 5.0) is None
    assert pace.seconds_left(0.2, 6.0) is None


def test_an_even_pace_is_told_exactly() -> None:
    pace = Pace()
    told = [pace.seconds_left(step / 10, 100 + 2 * step) for step in range(1, 11)]
    assert told[2:] == [pytest.approx(20 - 2 * step) for step in range(3, 11)]


def test_one_slow_step_does_not_turn_it_over() -> None:
    pace = Pace()
    for step in range(1, 6):
        pace.seconds_left(step / 10, float(step))
    left = pace.seconds_left(0.6, 15.0)  # ten times as long as the others
    assert left is not None
    assert 4 < left < 20
