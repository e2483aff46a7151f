"""Wooded ridges in the distance, painted flat, one behind another."""

from __future__ import annotations

import numpy as np

from .arrays import Array, sample, step
from .light import mix, rgb
from .noise import Rng, noise


def hills(canvas: Array, rng: Rng, foot: int, layers: int, height: float, air: Array) -> None:
    """Paint wooded ridges over the canvas, the farthest first, each less blue than the last."""
    width = canvas.shape[1]
    rows = np.arange(canvas.shape[0], dtype=np.float32)[:, None]
    woods = noise(rng, (256, 1024), 0.9, 4)
    for k in range(layers):
        near = (k + 1) / layers
        ridge = noise(rng, (4 * width,), 1.7, 3)[:width] * 0.4 + 0.75 - 0.12 * k
        ridge += noise(rng, (4 * width,), 0.6, 60)[:width] * 0.02 * near
        top = foot - np.maximum(ridge, 0.06) * height * (1 - 0.45 * near)
        depth = (rows - top[None]).clip(0)
        bark = sample(
            woods, rows * 3 + 0 * depth + 80 * k, np.arange(width)[None] * 0.8 + 0 * depth
        )
        green = rgb(0.05, 0.085, 0.03) * (1 + 0.35 * bark[..., None]) * (1.5 - 0.5 * near)
        haze = (0.8 - 0.55 * near) + 0.1 * step(0, height, depth)
        colour = mix(green, np.broadcast_to(air, green.shape), haze)
        cover = np.clip(rows + 1 - top[None], 0, 1) * (rows < foot)
        canvas[:] = mix(canvas, colour, cover)
