"""Clouds: cumulus, piled up of balls and lit as a volume, and cirrus, combed over a plane.

Cumulus comes without colour and cirrus as mere cover; the scene decides the light.
"""

from __future__ import annotations

import numpy as np

from .arrays import Array, sample, step, stretch
from .horizon import plane
from .noise import Rng, noise
from .volume import DEPTH_STEP, SUN, shade, volume


def heap(rng: Rng, width: float, height: float, depth: float, towers: int) -> Array:
    """Balls of a fair-weather cumulus: towers of balls, each ball studded with smaller ones."""
    balls: list[Array] = []
    for k in range(towers):
        u = np.clip((k + rng.uniform(0, 1)) / towers * 2 - 1, -0.78, 0.78)
        top = height * (1 - abs(u) ** 1.4) * rng.uniform(0.4, 0.95)
        radius = width * rng.uniform(0.065, 0.12)
        place = np.array(
            [radius * 0.3, depth * (0.5 + rng.normal(0, 0.13)), width * (0.5 + u * 0.4)]
        )
        while place[0] < max(top - radius * 0.5, radius * 0.4):
            balls.append(np.append(place, radius))
            for _ in range(8):
                way = rng.normal(size=3)
                way *= radius * 0.85 / np.linalg.norm(way)
                way[0] = abs(way[0])
                balls.append(np.append(place + way, radius * rng.uniform(0.3, 0.6)))
            place += rng.normal(0, radius * 0.3, 3)
            place[0] += radius * rng.uniform(0.6, 0.9)
            radius *= rng.uniform(0.8, 1)
            if radius < width * 0.04:
                break
    return np.array(balls, np.float32)


def cumulus(rng: Rng, width: int, height: int, lean: float) -> tuple[Array, Array, Array]:
    """One cumulus with a flat, torn base, as `shade` returns it; width and height in px."""
    depth = int(width * 0.46)
    balls = heap(rng, width, height * 0.92, depth, int(rng.integers(8, 12)))
    cells = [c for c in (width / 8, width / 18, width / 40, width / 85, 5.5) if c > 3]
    field = volume(rng, (height, depth // DEPTH_STEP, width), balls, cells, 0.3)
    shape = (64, 64, 64)
    wisps = noise(rng, shape, 2.2, 2)
    for axis, n in enumerate(field.shape):
        wisps = stretch(wisps, axis, np.arange(n, dtype=np.float32) * (2 if axis == 1 else 1) * 0.4)
    level = (np.arange(height, dtype=np.float32) / height)[:, None, None]
    rag = 1 + 3 * step(0.3, 0.0, level)
    field += wisps * rag * np.float32(width / 260)
    edge = width / 95 * rag
    side = np.arange(width, dtype=np.float32) / width
    edge = edge / step(0, 0.06, side * (1 - side) + 1e-3)
    base = step(0.03, 0.1, level + wisps * np.float32(0.014))
    return shade(np.clip(field / edge, 0, 1) * base * np.float32(52 / width), SUN, lean)


def cirrus(rng: Rng, height: int, width: int, horizon: float) -> Array:
    """Cover of thin, combed ice cloud on a high plane, (H, W) 0..1."""
    away, right = plane(height, width, horizon)
    turned = (right * 0.8 + away * 0.6, away * 0.8 - right * 0.6)
    bend = noise(rng, (256, 256), 2.0)
    warp = sample(bend, turned[0] * 9, turned[1] * 9) * 9
    comb = noise(rng, (512, 512), 1.25, 2)
    fibre = sample(comb, turned[0] * 22 + warp, turned[1] * 90 + warp * 3)
    patch = sample(bend, turned[0] * 14 + 90, turned[1] * 30 + 40)
    return np.asarray(step(-0.4, 2.4, fibre * 0.7 + patch) * step(-0.3, 1.2, patch))
