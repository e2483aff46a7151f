"""Turns what was measured into Markdown."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engines import PRECISIONS
from race import ratio, spread

if TYPE_CHECKING:
    from collections.abc import Iterable

    from race import Times


@dataclass(frozen=True, kw_only=True)
class Row:
    """One network at one size."""

    network: str
    size: int
    times: Times
    """ms a step, one number a round."""
    floors: dict[str, float] = field(default_factory=dict)
    """For each precision the ms that the machine's best rates would need."""


def tables(rows: list[Row]) -> str:
    """Milliseconds, ratios, and how near to the machine's best."""
    rivals = ("best peer", "classic") if len(rows[0].times) > 1 + len(PRECISIONS) else ("classic",)
    names = list(rows[0].times)
    ratios = [f"{rival} / {name}" for name in PRECISIONS for rival in rivals]
    return "\n\n".join(
        (
            "Milliseconds a step: median ± half the interquartile range in %.",
            _table(names, [(_place(row), [_time(row.times[n]) for n in names]) for row in rows]),
            "How many times as long: the median of the rounds' ratios.",
            _table(ratios, [(_place(row), _ratios(row, rivals)) for row in rows]),
            "Fraction of the machine's measured rate: its time for this work / ours.",
            _table(PRECISIONS, [(_place(row), _fractions(row)) for row in rows]),
        )
    )


def _place(row: Row) -> str:
    return f"{row.network} {row.size}"


def _time(times: list[float]) -> str:
    return f"{statistics.median(times):.1f} ±{spread(times):.0f}"


def _ratios(row: Row, rivals: Iterable[str]) -> list[str]:
    """Against the peer whose median is the smallest, and against the classic loop."""
    others = {k: v for k, v in row.times.items() if k not in {"classic", *PRECISIONS}}
    slower = {"classic": row.times["classic"]}
    if others:
        slower["best peer"] = min(others.values(), key=statistics.median)
    return [
        f"{ratio(slower[rival], row.times[name]):.2f}" for name in PRECISIONS for rival in rivals
    ]


def _fractions(row: Row) -> list[str]:
    return [
        f"{row.floors[name] / statistics.median(row.times[name]):.0%}" if name in row.floors else ""
        for name in PRECISIONS
    ]


def memory_table(peaks: dict[str, dict[str, float]], megapixels: float) -> str:
    """Working memory by network and engine, in MB for each megapixel."""
    names = list(next(iter(peaks.values())))
    rows = [
        (network, [f"{mb[n] / megapixels:.0f}" for n in names]) for network, mb in peaks.items()
    ]
    return "Peak memory above what was loaded, MB a megapixel.\n\n" + _table(names, rows)


def _table(names: Iterable[str], rows: Iterable[tuple[str, list[str]]]) -> str:
    head = ["", *names]
    lines = [head, ["---", *("--:" for _ in head[1:])], *([place, *cells] for place, cells in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
