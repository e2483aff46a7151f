"""The scene `garden`: stones from large to small, then leaves, then flowers, on one bed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .bed import Bed
from .light import develop, rgb, shrink
from .noise import noise

if TYPE_CHECKING:
    from .arrays import Array

STONES = (
    rgb(0.2, 0.19, 0.18), rgb(0.33, 0.29, 0.24), rgb(0.1, 0.11, 0.13), rgb(0.3, 0.2, 0.14),
    rgb(0.17, 0.2, 0.19), rgb(0.5, 0.47, 0.42), rgb(0.22, 0.13, 0.1), rgb(0.14, 0.15, 0.18),
)  # fmt: skip
LEAVES = (rgb(0.09, 0.16, 0.03), rgb(0.05, 0.11, 0.03), rgb(0.3, 0.13, 0.03), rgb(0.36, 0.22, 0.04))


def garden(width: int = 1024, height: int = 640, seed: int = 7) -> Array:
    """River pebbles, moss, fallen leaves and small white flowers, seen from above.

    Returns:
        (H, W, 3) display values, 0..1.
    """
    rng = np.random.default_rng(seed)
    margin = 128
    size = (2 * height + margin, 2 * width + margin)
    bed = Bed(rng, size)
    crowd = noise(rng, (2304, 2304), 1.8, 2)[: size[0], : size[1]]
    for radius in np.sort(14 + 88 * rng.random(2300) ** 3)[::-1]:
        place = (float(rng.uniform(0, size[0])), float(rng.uniform(0, size[1])))
        if crowd[int(place[0]), int(place[1])] > 1.05:
            continue
        flat = radius * rng.uniform(0.6, 0.95)
        tint = STONES[rng.integers(len(STONES))] * rng.uniform(0.7, 1.25)
        bed.lay(place, (radius, flat, flat * rng.uniform(0.5, 0.8)), rng.uniform(0, 7), tint)
    for _ in range(46):
        y, x, turn = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(0, 7)
        long = rng.uniform(45, 105)
        tint = LEAVES[rng.integers(len(LEAVES))] * rng.uniform(0.7, 1.2)
        floor = float(bed.height[int(y), int(x)]) + 14
        bed.lay((y, x), (long, long * rng.uniform(0.36, 0.5), long * 0.2), turn, tint, 1.0, floor)
    for _ in range(90):
        y, x = rng.uniform(0, size[0]), rng.uniform(0, size[1])
        if crowd[int(y), int(x)] < 0.75:
            continue
        petal, floor = rng.uniform(15, 26), float(bed.height[int(y), int(x)]) + 22
        for k in range(7):
            turn = k * 2 * np.pi / 7 + rng.uniform(-0.1, 0.1)
            place = (y + np.sin(turn) * petal, x + np.cos(turn) * petal)
            bed.lay(
                place, (petal, petal * 0.42, 5), turn, rgb(0.72, 0.7, 0.74), 0.5, floor + k % 2 * 2
            )
        bed.lay(
            (y, x),
            (petal * 0.45, petal * 0.45, petal * 0.4),
            0.0,
            rgb(0.65, 0.4, 0.03),
            0.0,
            floor + 4,
        )
    return develop(shrink(bed.look()[margin:, margin:]), rng, 0.003)
