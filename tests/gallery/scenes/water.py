"""A lake: the picture above its shore, mirrored in ripples."""

from __future__ import annotations

import numpy as np

from .arrays import Array, sample
from .horizon import plane
from .light import mix
from .noise import Rng, noise


def mirror(picture: Array, rng: Rng, shore: int, deep: Array, chop: float) -> None:
    """Fill everything under row `shore` with a rippled lake that reflects what is above."""
    height, width = picture.shape[:2]
    rows = height - shore
    away, right = plane(rows, width, -3.0)
    swell = noise(rng, (512, 512), 1.1, 3)
    down = np.arange(rows, dtype=np.float32)[:, None] + 0 * right
    total = np.zeros((rows, width, 3), np.float32)
    across = np.arange(width, dtype=np.float32)[None] + 0 * right
    for k in range(6):
        slope = sample(swell, away * 60 + k * 0.7, right * 90 + k * 2.9)
        lift = down + slope * chop * (2 + 0.3 * down) + k * 0.01 * down
        row = (shore - 1 - np.abs(lift)).clip(0, shore - 1)
        column = (across + slope * chop * 2).clip(0, width - 1).astype(np.int64)
        total += picture[row.astype(np.int64), column]
    grazing = (0.8 - 0.45 * np.sqrt(down / rows)) * (1 - 0.1 * slope.clip(-2, 2))
    picture[shore:] = mix(np.broadcast_to(deep, total.shape), total / 6, grazing)
