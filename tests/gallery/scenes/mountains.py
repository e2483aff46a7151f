"""The scene `mountains`: one land seen at twice the size, coloured by height, in mist."""

from __future__ import annotations

import numpy as np

from .arrays import Array, sample, step
from .clouds import cirrus
from .land import Land
from .light import develop, mix, rgb, shrink
from .noise import noise
from .view import fog, outlook, relief, survey


def mountains(width: int = 1024, height: int = 640, seed: int = 7) -> Array:
    """Dawn over ranges that rise one behind another out of mist, with conifers in front.

    Returns:
        (H, W, 3) display values, 0..1.
    """
    rng = np.random.default_rng(seed)
    size, horizon = (2 * height, 2 * width), height * 0.86
    land = Land(rng, 34.0, 1.35, 0.66)
    eye = outlook(land, rng, 0.8, 0.43)
    x, y, far = survey(land, eye, size, horizon, 45)
    sun = (0.3, 0.12, 0.94)
    lit, up, tall = relief(land, x, y, far, sun)
    grain = sample(land.rough, y * 700, x * 700)
    wood = land.forest(x, y, land.bare(x, y))
    stone = rgb(0.15, 0.13, 0.12) * (1 + 0.25 * grain[..., None])
    ground = mix(
        stone,
        rgb(0.07, 0.08, 0.035) * np.ones_like(stone),
        step(1.0, 0.65, tall) * step(0.5, 0.8, up),
    )
    ground = mix(
        ground,
        rgb(0.75, 0.77, 0.82) * np.ones_like(stone),
        step(0.8, 1.05, tall + 0.07 * grain) * step(0.55, 0.8, up),
    )
    ground = mix(
        ground, rgb(0.022, 0.04, 0.02) * (1 + 0.3 * grain[..., None]), step(0.02, 0.2, wood)
    )
    light = ground * (
        lit[..., None] * rgb(3.6, 2.1, 1.15)
        + (0.35 + 0.65 * wood * up + 0.3 * up)[..., None] * rgb(0.36, 0.43, 0.6)
    )
    rows = ((horizon - np.arange(size[0], dtype=np.float32)) / horizon)[:, None] + 0 * x[:1]
    glow = (
        np.exp(-(((np.arange(size[1], dtype=np.float32) / size[1] - 0.86) / 0.5) ** 2))[None]
        + 0 * x
    )
    low = mix(rgb(0.62, 0.5, 0.56) + 0 * light, rgb(1.25, 0.72, 0.4) + 0 * light, glow)
    heaven = mix(low, rgb(0.36, 0.42, 0.62) + 0 * light, step(0.1, 0.55, rows))
    heaven = mix(heaven, rgb(0.12, 0.2, 0.42) + 0 * light, step(0.35, 1.15, rows))
    veil = cirrus(rng, size[0], size[1], horizon + 150)
    heaven = mix(
        heaven,
        mix(rgb(0.95, 0.6, 0.5) + 0 * light, rgb(1.3, 0.85, 0.55) + 0 * light, glow),
        veil * 0.85,
    )
    patch = 1 + 0.5 * sample(noise(rng, (256, 256), 1.8, 2), y * 22, x * 22).clip(-1.5, 2)
    reach = np.where(np.isinf(far), 0, far)
    mist = fog(eye[2], tall, reach * patch, 0.95, 0.17)
    air = 1 - (1 - mist) * np.exp(-reach / 30)
    haze = mix(
        rgb(0.55, 0.56, 0.66) + 0 * light, low * 0.92, (0.35 + 0.65 * glow) * step(0, 25, reach)
    )
    light = np.where(np.isinf(far)[..., None], heaven, mix(light, haze, air))
    return develop(shrink(light), rng)
