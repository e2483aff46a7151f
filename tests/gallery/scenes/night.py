"""The scene `night`: a flooded land under stars and aurora, all of it mirrored."""

from __future__ import annotations

import numpy as np

from .arrays import Array, sample, step
from .land import Land, flood
from .light import develop, mix, rgb, shrink
from .night_sky import aurora, stars
from .noise import noise
from .view import fog, relief, survey
from .water import mirror


def night(width: int = 1024, height: int = 640, seed: int = 7) -> Array:
    """Northern lights and stars above snowy mountains, doubled in a dark lake.

    Returns:
        (H, W, 3) display values, 0..1.
    """
    rng = np.random.default_rng(seed)
    shore = int(height * 0.74)
    size, horizon = (2 * shore, 2 * width), 2.0 * shore
    land = Land(rng, 34.0, 1.1, 0.42)
    level = float(np.quantile(land.big, 0.12))
    eye = flood(land, level)
    x, y, far = survey(land, eye, size, horizon, 45, 2.5)
    lit, up, tall = relief(land, x, y, far, (0.45, -0.4, -0.8))
    grain = sample(land.rough, y * 700, x * 700)
    wood = land.forest(x, y, land.bare(x, y))
    ground = rgb(0.12, 0.12, 0.13) * (1 + 0.3 * grain[..., None])
    snow = step(0.2, 0.55, tall + 0.03 * grain) * step(0.5, 0.75, up)
    ground = mix(ground, rgb(0.8, 0.82, 0.86) + 0 * ground, snow)
    ground = mix(ground, rgb(0.02, 0.03, 0.025) + 0 * ground, step(0.02, 0.2, wood))
    rock: Array = ground * (
        lit[..., None] * rgb(0.1, 0.13, 0.2) + up[..., None] * rgb(0.014, 0.045, 0.042)
    )
    reach = np.where(np.isinf(far), 0, far)
    mist = fog(eye[2], tall, reach, 0.1, 0.12)
    rock = mix(rock, rgb(0.02, 0.05, 0.06) + 0 * rock, 1 - (1 - mist) * np.exp(-reach / 35))
    row, column = np.indices((shore, width), np.float32)
    across = (column / width - 0.62 + 0.55 * (row / shore - 0.5)) / 0.16
    dust = noise(rng, (1024, 1024), 1.5, 3)[:shore, :width]
    band = np.exp(-(across**2)) * np.exp(0.45 * dust - 0.3)
    heaven = mix(
        rgb(0.025, 0.05, 0.075) + 0 * rock[::2, ::2],
        rgb(0.004, 0.008, 0.022),
        step(0.95, 0.2, row / shore),
    )
    heaven = (
        heaven + band[..., None] * rgb(0.022, 0.02, 0.03) + stars(rng, shore, width, band) * 0.8
    )
    heaven = heaven + aurora(rng, shore, width, shore + 14.0)
    open_sky = shrink(np.isinf(far)[..., None] * np.ones(3, np.float32))
    light = np.zeros((height, width, 3), np.float32)
    light[:shore] = heaven * open_sky + shrink(np.where(np.isinf(far)[..., None], 0, rock))
    mirror(light, rng, shore, rgb(0.002, 0.006, 0.009), 0.3)
    return develop(light * 1.15, rng, 0.009)
