"""Roughness from a seed: 1/f noise in any number of dimensions, and billows in three.

All of it is cyclic.  What it looks like is decided where it is read.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .arrays import Array

Rng = np.random.Generator


def noise(rng: Rng, shape: Sequence[int], slope: float, low: float = 1.0) -> Array:
    """Cyclic Gaussian noise, amplitude 1 / f**slope above `low` cycles, mean 0, deviation 1."""
    axes = np.meshgrid(*(np.fft.fftfreq(n) * max(shape) for n in shape), indexing="ij")
    f = np.sqrt(sum(a * a for a in axes))
    gain = np.where(f < low, 0.0, np.maximum(f, 1e-6) ** -slope)
    out = np.fft.ifftn(np.fft.fftn(rng.standard_normal(tuple(shape))) * gain).real
    return np.asarray(out / out.std(), np.float32)


@cache
def billows(cells: int = 12, fine: int = 8) -> Array:
    """Cyclic cauliflower noise in 3-D: 1 at random points, falling to 0 between them (Worley)."""
    points = np.random.default_rng(1).random((cells, cells, cells, 3)).astype(np.float32)
    n = cells * fine
    place = np.moveaxis(np.indices((n, n, n), np.float32), 0, -1) / np.float32(fine)
    nearest = np.full((n, n, n), 9, np.float32)
    for shift in np.ndindex(3, 3, 3):
        moved = np.roll(points, [1 - s for s in shift], (0, 1, 2))
        spread = moved.repeat(fine, 0).repeat(fine, 1).repeat(fine, 2)
        spread += np.array(shift, np.float32) - 1 - (place % 1)
        np.minimum(nearest, (spread * spread).sum(-1), out=nearest)
    return np.asarray(1 - np.minimum(np.sqrt(nearest), 1), np.float32)
