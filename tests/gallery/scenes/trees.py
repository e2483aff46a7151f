"""Leafy trees by day: balls of leaves, lit as a volume.  Conifers grow in `land`."""

from __future__ import annotations

import numpy as np

from .arrays import Array, sample, stretch
from .light import rgb
from .noise import Rng, noise
from .volume import DEPTH_STEP, SUN, shade, volume


def grove(rng: Rng, width: int, height: int, spread: float) -> tuple[Array, Array]:
    """A row of leafy trees: premultiplied light and cover; `spread` is crown over height."""
    depth = int(height * 1.2)
    balls: list[tuple[float, ...]] = []
    x = height * spread * 0.5
    while x < width - height * spread * 0.45:
        tall = height * rng.uniform(0.5, 0.88)
        wide = tall * spread * rng.uniform(0.7, 1.2) / 2
        y = depth * rng.uniform(0.25, 0.75)
        for _ in range(16):
            way = rng.normal(size=3)
            way *= 0.72 / np.linalg.norm(way)
            r = wide * rng.uniform(0.28, 0.52)
            balls.append((tall * (0.55 + 0.42 * way[0]), y + wide * way[1], x + wide * way[2], r))
        balls.append((height * 0.05, y, x, wide * 0.8))
        x += wide * rng.uniform(0.7, 1.6)
    cells = [c for c in (height / 4, height / 9, height / 18, 4.5) if c > 3.5]
    shape = (height, depth // DEPTH_STEP, width)
    field = volume(rng, shape, np.array(balls, np.float32), cells, 0.42)
    leaves = noise(rng, (64, 64, 64), 0.9, 3)
    for axis, n in enumerate(shape):
        leaves = stretch(leaves, axis, np.arange(n, dtype=np.float32) * (0.9 if axis == 1 else 0.6))
    field += leaves * np.float32(0.8 + height / 55)
    sun, sky, cover = shade(np.clip(field / 2, 0, 1) * np.float32(0.35), SUN, 0.0)
    hue = noise(rng, (256, 256), 1.4)
    tint = sample(hue, *np.indices(cover.shape, np.float32) * 0.8)[..., None].clip(-2, 2)
    leaf = rgb(0.05, 0.078, 0.021) * (1 + 0.16 * tint * rgb(1.4, 0.8, 0.5))
    return leaf * (sun[..., None] * rgb(3.0, 2.7, 2.1) + sky[..., None] * rgb(0.3, 0.4, 0.5)), cover
