"""Mountains as a height field with conifers on it, and the lake that may fill a valley.

Lengths are km.  How the land looks from somewhere is told in `view`.
"""

from __future__ import annotations

import numpy as np

from .arrays import Array, sample, step
from .noise import Rng, noise


class Land:
    """A cyclic mountain height field in km, with conifers on the lower slopes.

    Attributes:
        period: km after which the mountains repeat; the forest repeats every `PATCH` km.
    """

    PATCH = 1.7

    def __init__(self, rng: Rng, period: float, tall: float, woods: float) -> None:
        shape = (1024, 1024)
        ridge = 1 - np.abs(noise(rng, shape, 2.5, 3)).clip(0, 2)
        crag = 1 - np.abs(noise(rng, shape, 2.0, 14)).clip(0, 2)
        fine = noise(rng, shape, 1.6, 60)
        body = np.maximum(ridge * 0.62 + 0.3, 0.02) ** 1.3
        self.big = np.asarray(tall * (body + (crag * 0.13 + fine * 0.02) * body), np.float32)
        self.period, self.woods = period, woods
        self.rough = noise(rng, (512, 512), 1.1, 6)
        n, size = 512, 9
        self.tree = np.zeros((n, n), np.float32)
        cone = np.hypot(*(np.indices((2 * size + 1, 2 * size + 1)) - size)) / size
        for row, column in rng.integers(0, n, (5200, 2)):
            tip = (1 - cone * rng.uniform(1.3, 2.2)).clip(0) * rng.uniform(0.4, 1)
            at = np.ix_(
                np.arange(row, row + 2 * size + 1) % n, np.arange(column, column + 2 * size + 1) % n
            )
            self.tree[at] = np.maximum(self.tree[at], tip)

    def bare(self, x: Array, y: Array) -> Array:
        """Height of the ground at km east and north, without trees."""
        k = self.big.shape[0] / self.period
        return sample(self.big, y * k, x * k)

    def forest(self, x: Array, y: Array, ground: Array) -> Array:
        """Share of a full tree's height that stands at a place, 0..1."""
        rough = sample(self.rough, y * 90, x * 90)
        k = self.tree.shape[0] / self.PATCH
        edge = step(self.woods * 1.15, self.woods * 0.75, ground + rough * self.woods * 0.12)
        return np.asarray(sample(self.tree, y * k + x * 9, x * k) * edge, np.float32)

    def surface(self, x: Array, y: Array) -> Array:
        """Height of ground, boulders and trees, km."""
        ground = self.bare(x, y)
        boulders = sample(self.rough, y * 420, x * 420) * np.float32(0.006)
        return np.asarray(ground + boulders + 0.034 * self.forest(x, y, ground), np.float32)


def flood(land: Land, level: float) -> tuple[float, float, float]:
    """Sink a round lake into the deepest valley, in place, and give the eye's place over it, km."""
    n = land.big.shape[0]
    row, column = np.unravel_index(int(np.argmin(land.big)), land.big.shape)
    off = [(np.arange(n) - k + n // 2) % n - n // 2 for k in (row, column)]
    far = np.hypot(off[0][:, None], off[1][None]).astype(np.float32) * np.float32(land.period / n)
    land.big = np.asarray(level + (land.big - level) * step(2.8, 8, far), np.float32)
    return float(column) / n * land.period, float(row) / n * land.period, level + 0.03
