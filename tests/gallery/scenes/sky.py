"""The scene `sky`: thirty clouds, the farthest first, then hills, trees and their mirror."""

from __future__ import annotations

import numpy as np

from .arrays import Array, step
from .clouds import cirrus, cumulus
from .hills import hills
from .light import develop, mix, put, rgb
from .noise import noise
from .trees import grove
from .water import mirror


def sky(width: int = 1024, height: int = 640, seed: int = 7) -> Array:
    """A blue afternoon: cumulus marching to the horizon over wooded hills and a lake.

    Returns:
        (H, W, 3) display values, 0..1.
    """
    rng = np.random.default_rng(seed)
    horizon, unit = int(height * 0.83), width / 1024
    up = ((horizon - np.arange(height, dtype=np.float32)) / horizon).clip(0, 1)[:, None]
    up = up + np.zeros((1, width), np.float32)
    air = rgb(0.5, 0.63, 0.76)
    light = mix(np.broadcast_to(air, (height, width, 3)), rgb(0.15, 0.34, 0.66), step(0, 0.42, up))
    light = mix(light, rgb(0.045, 0.135, 0.37), step(0.2, 1.1, up))
    light = mix(light, rgb(0.75, 0.8, 0.86), cirrus(rng, height, width, horizon + 60.0) * 0.75)
    far = np.sort(rng.uniform(9, 60, 26))
    crowd = [(d * unit, rng.uniform(-0.15, 1.1) * width, rng.uniform(0.7, 1.2)) for d in far]
    heroes = [(95.0, 0.18, 1.0), (88.0, 0.98, 1.0), (172.0, 0.6, 1.05), (345.0, 0.03, 0.33)]
    crowd += [(d * unit, x * width, k) for d, x, k in heroes]
    for rise, x, grow in crowd:
        wide = int(rise * 4 * grow)
        tall = int(wide * min(rng.uniform(0.34, 0.56), 0.5 * grow + 0.1))
        lean = 0.12 + 1.1 * rise / height
        sun, open_sky, cover = cumulus(rng, wide, tall, lean)
        colour = sun[..., None] * rgb(1.5, 1.39, 1.24) + open_sky[..., None] * rgb(0.15, 0.205, 0.3)
        thick = np.float32(0.85 * np.exp(-rise / unit / 34))
        colour = colour * (1 - thick) + air * thick * cover[..., None] * rgb(1.15, 1.1, 1.04)
        put(light, colour, cover, horizon - int(rise), int(x - wide / 2))
    hills(light, rng, horizon + 6, 3, 70 * unit, air)
    bank = noise(rng, (8, width), 0.7, 8)[..., None] * 0.25 + 1
    light[horizon + 2 : horizon + 10] = rgb(0.05, 0.075, 0.025) * bank
    for broad, high, left, row in (
        (1.1, 0.05, -0.05, 9),
        (0.3, 0.17, -0.09, 12),
        (0.22, 0.1, 0.87, 11),
    ):
        trees, leafy = grove(rng, int(broad * width), int(high * height), 0.9)
        put(light, trees, leafy, horizon + row, int(left * width))
    mirror(light, rng, horizon + 9, rgb(0.012, 0.035, 0.045), 0.35)
    return develop(light, rng)
