"""Who is faster: engines take turns, so that each meets the same machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

Run = Callable[[int, Callable[[], None]], None]
"""Takes so many steps on one picture, and calls the function after each."""

Times = dict[str, list[float]]
"""For each engine the milliseconds of a step, one number a round."""


def race(
    runs: Mapping[str, Run],
    rounds: int,
    steps: int,
    synchronize: Callable[[], None],
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """Let all take turns; `clock` tells seconds.

    A turn is one step to warm up, after the one who ran before, and then `steps` that count. Who
    begins changes from round to round, and every second round goes backwards, so that nobody always
    follows the same neighbour. A first round does not count.
    """
    times: Times = {name: [] for name in runs}
    order = list(runs)
    for number in range(rounds + 1):
        for name in order if number % 2 else reversed(order):
            spent = turn(runs[name], steps, synchronize, clock)
            if number:
                times[name].append(spent)
        order.append(order.pop(0))
    return times


def turn(
    run: Run, steps: int, synchronize: Callable[[], None], clock: Callable[[], float]
) -> float:
    """Milliseconds for each of `steps` steps, after one more."""
    marks: list[float] = []

    def tick() -> None:
        synchronize()
        marks.append(clock())

    run(steps + 1, tick)
    return 1000 * (marks[-1] - marks[0]) / steps


def ratio(slower: list[float], faster: list[float]) -> float:
    """How many times as long, compared round by round: the median."""
    return statistics.median(a / b for a, b in zip(slower, faster, strict=True))


def spread(times: list[float]) -> float:
    """Half the distance between the quartiles, in per cent of the median."""
    if len(times) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(times, n=4, method="inclusive")
    return 50 * (high - low) / middle
