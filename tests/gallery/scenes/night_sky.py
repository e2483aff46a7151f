"""Lights of a clear night in the north: stars and aurora, on black."""

from __future__ import annotations

import numpy as np

from .arrays import Array, sample, step
from .horizon import plane
from .light import mix, rgb
from .noise import Rng, noise


def stars(rng: Rng, height: int, width: int, band: Array) -> Array:
    """A sky of soft points, few bright and many faint, crowded where `band` (H, W) is high."""
    light = np.zeros((height, width, 3), np.float32)
    reach = np.arange(-3, 4)
    for _ in range(5200):
        row, column = int(rng.integers(3, height - 3)), int(rng.integers(3, width - 3))
        if rng.random() > 0.25 + band[row, column]:
            continue
        power, size = 0.05 / rng.random() ** 0.75, rng.uniform(0.4, 0.62)
        centre = rng.uniform(-0.5, 0.5, 2)
        far = (reach[:, None] - centre[0]) ** 2 + (reach[None] - centre[1]) ** 2
        tint = mix(rgb(0.7, 0.85, 1.2), rgb(1.2, 0.95, 0.7), np.full((7, 7), rng.random()))
        dot = np.exp(-far / (2 * size**2))[..., None] * min(power, 3.0) * tint
        light[row - 3 : row + 4, column - 3 : column + 4] += dot
    return light


def aurora(rng: Rng, height: int, width: int, horizon: float) -> Array:
    """Light of folded curtains over the plane of the sky, green at the hem and violet above."""
    away, right = plane(height, width, horizon)
    fold, ray = noise(rng, (512, 512), 2.3, 2), noise(rng, (512, 512), 0.9, 10)
    light = np.zeros((height, width, 3), np.float32)
    layers = 120
    for k in range(layers):
        t = k / layers
        high = 1.0 + 0.75 * t
        x, y = right * high * 34 + 60, away * high * 34
        bend = sample(fold, y * 0.9, x * 0.5 + 200) * 16
        line = sample(fold, y * 0.8 + bend, x * 0.55 + bend)
        curtain = np.exp(-((line / 0.085) ** 2)) * step(
            -1.2, 0.6, sample(fold, y * 0.5 + 300, x * 0.6)
        )
        curtain = curtain * (0.75 + 0.5 * sample(ray, y * 3, x * 3)).clip(0.1)
        hue = mix(
            rgb(0.1, 1.0, 0.42),
            rgb(0.42, 0.18, 0.8),
            np.full(line.shape, step(0.15, 0.8, np.float32(t))),
        )
        glow = step(-0.02, 0.05, np.float32(t)) * np.exp(-3.2 * t)
        light += hue * (curtain * glow)[..., None] / layers
    return light * (step(30, 5, away) * 8.0)[..., None]
