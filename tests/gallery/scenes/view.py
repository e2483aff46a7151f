"""What an eye sees of the land: where each pixel meets it, its light, the mist between.

It gives places, shares and heights; their colours are the scene's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .arrays import Array, step

if TYPE_CHECKING:
    from .land import Land
    from .noise import Rng


def survey(
    land: Land,
    eye: tuple[float, float, float],
    size: tuple[int, int],
    horizon: float,
    reach: float,
    near: float = 0.25,
) -> tuple[Array, Array, Array]:
    """Where the line of sight through each pixel meets the land: east, north, distance in km.

    Distance is infinite for the sky.  Each column is a climb: the nearest step whose top rises
    above the pixel is the one seen.
    """
    height, width = size
    focal = np.float32(width * 0.95)
    away = np.geomspace(near, reach, 1500).astype(np.float32)
    slant = (np.arange(width, dtype=np.float32) - width / 2) / focal
    x = eye[0] + away[:, None] * slant[None, :]
    y = np.broadcast_to(eye[1] + away[:, None], x.shape)
    rise = np.maximum.accumulate(focal * (land.surface(x, y) - eye[2]) / away[:, None], axis=0)
    wanted = horizon - np.arange(height, dtype=np.float32)
    hit = np.stack([np.searchsorted(rise[:, c], wanted) for c in range(width)], 1)
    found = np.append(away, np.float32(np.inf))[hit]
    place = np.where(np.isinf(found), np.float32(1), found)
    return eye[0] + place * slant, eye[1] + place, found


def outlook(land: Land, rng: Rng, up: float, low: float) -> tuple[float, float, float]:
    """Of 80 places, the one with most ridges behind ridges, as east, north and up in km.

    `low` is the horizon's share of height.  The share of sky is kept a little under it, and
    nothing stands closer than half a km.
    """
    best, found = -1.0, (0.0, 0.0, up)
    for x, y in rng.uniform(0, land.period, (80, 2)):
        far = survey(land, (x, y, up), (40, 64), low * 40, 45)[2]
        open_sky = float(np.isinf(far).mean())
        edges = np.abs(np.diff(np.log(np.minimum(far, 60)), axis=0)) > 0.25
        score = float(edges.sum()) / (1 + 20 * max(0, low - 0.17 - open_sky, open_sky - low + 0.01))
        if far.min() > 0.5 and score > best:
            best, found = score, (float(x), float(y), up)
    return found


def relief(
    land: Land, x: Array, y: Array, far: Array, sun: tuple[float, float, float]
) -> tuple[Array, Array, Array]:
    """Sunlight (with cast shadows), openness to the sky, and height, at places on the land."""
    span = np.float32(0.004) + np.where(np.isinf(far), 1, far) * np.float32(0.0007)
    east = (land.surface(x + span, y) - land.surface(x - span, y)) / (2 * span)
    north = (land.surface(x, y + span) - land.surface(x, y - span)) / (2 * span)
    facing = (sun[0] - sun[2] * east - sun[1] * north) / np.sqrt(1 + east**2 + north**2)
    height = land.surface(x, y)
    lit = np.ones_like(x)
    for k in range(1, 15):
        t = 0.05 * k**1.7
        over = land.bare(x + sun[2] * t, y + sun[1] * t) - height - sun[0] * t
        np.minimum(lit, step(0.06 * t + 0.03, -0.02 * t, over), out=lit)
    up = 1 / np.sqrt(1 + east**2 + north**2)
    return np.asarray(facing.clip(0) * lit, np.float32), np.asarray(up, np.float32), height


def fog(eye: float, height: Array, far: Array, thick: float, fall: float) -> Array:
    """Share of light lost on the way through mist that thins by e every `fall` km of height."""
    drop = (height - eye) / fall
    drop = np.where(np.abs(drop) < 1e-3, np.float32(1e-3), drop)
    column = thick * np.exp(-eye / fall) * far * (1 - np.exp(-drop)) / drop
    return np.asarray(1 - np.exp(-column.clip(0, 50)), np.float32)
