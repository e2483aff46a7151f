"""A sample of the matrix that covers pairs, the same in every run."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Row = tuple[str, ...]


def sampled(
    rows: Iterable[Row], count: Callable[[str], int], first: Callable[[Row], bool]
) -> list[Row]:
    """Take some rows of each network, each time the one whose pairs were seen least.

    Pairs are of two things that meet (a network and a precision, an objective and a view). What has
    the fewest pairs in all (a precision) weighs most, so that each network meets all of these.

    Args:
        rows: (network, ...), those of a network together.
        count: how many of this network.
        first: tells whether a row may be the first of its network.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[0], []).append(row)
    kinds = [len(set(column)) for column in zip(*next(iter(groups.values())), strict=True)]
    seen: dict[object, int] = {}
    taken: list[Row] = []

    def worn(row: Row) -> float:
        return sum(
            seen.get(pair, 0) / (kinds[pair[0][0]] * kinds[pair[1][0]]) for pair in _pairs(row)
        )

    for number, (network, group) in enumerate(groups.items()):
        start = number * 101 % len(group)  # or all would begin alike
        turned = group[start:] + group[:start]
        for nth in range(count(network)):
            allowed: Sequence[Row] = [row for row in turned if nth or first(row)]
            best = min(allowed, key=worn)
            for pair in _pairs(best):
                seen[pair] = seen.get(pair, 0) + 1
            taken.append(best)
    return taken


def _pairs(row: Row) -> list[tuple[tuple[int, str], tuple[int, str]]]:
    return list(combinations(enumerate(row), 2))
