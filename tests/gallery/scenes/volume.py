"""Bumpy voxel volumes, and how they look in the sun: the matter of clouds and of trees.

Shading is single scattering with two soft terms for the rest; it gives light without colour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .arrays import Array, stretch
from .noise import Rng, billows

if TYPE_CHECKING:
    from collections.abc import Sequence

SUN = (0.78, -0.16, -0.6)  # to the sun: up, away from the eye, right
DEPTH_STEP = 2  # a voxel is this many px deep: half the memory, and the eye cannot tell


def volume(
    rng: Rng, shape: tuple[int, int, int], balls: Array, cells: Sequence[float], rough: float
) -> Array:
    """Signed depth in px inside a union of bumpy balls; positive is inside.

    Args:
        shape: voxels up, away and right; up and right are px, away is `DEPTH_STEP` px.
        balls: (n, 4) centre up, away, right and radius, all in px.
        cells: sizes in px of the bumps laid over each other.
        rough: height of a bump as a share of its size.
    """
    coarse = 4
    size = [shape[0] // coarse + 2, shape[1] * DEPTH_STEP // coarse + 2, shape[2] // coarse + 2]
    grid = [np.arange(n, dtype=np.float32) * coarse for n in size]
    field = np.full(size, -1e3, np.float32)
    for z, y, x, r in balls:
        d = np.sqrt(
            ((grid[0] - z) ** 2)[:, None, None]
            + ((grid[1] - y) ** 2)[None, :, None]
            + ((grid[2] - x) ** 2)[None, None, :]
        )
        np.maximum(field, r - d, out=field)
    scale = np.array([1, DEPTH_STEP, 1], np.float32)
    field = field.clip(-4 * max(cells), None)
    for axis in (0, 1, 2):
        place = np.arange(shape[axis], dtype=np.float32) * scale[axis] / coarse
        field = stretch(field, axis, place)
    bumps = billows()
    for cell in cells:
        part = bumps
        for axis in rng.permutation(3):
            place = np.arange(shape[axis], dtype=np.float32) * scale[axis] * 8 / cell
            part = stretch(part, int(axis), place + np.float32(rng.random() * 96))
        field += (part - 0.45) * np.float32(2 * rough * cell)
    return field


def shade(
    density: Array, sun: tuple[float, float, float], lean: float
) -> tuple[Array, Array, Array]:
    """Sunlight, skylight and cover of a volume seen from the front: (H, W), top row first.

    Args:
        density: (up, away, right) optical thickness of each px of path.
        sun: direction to the sun as up, away, right.
        lean: px that things sink for each px away; above 0 shows the underside.
    """
    up, away, right = density.shape
    east, north = -sun[2] / sun[0], -sun[1] / sun[0] / DEPTH_STEP
    path = np.float32(np.linalg.norm(sun) / sun[0])
    lit, open_sky = np.empty_like(density), np.empty_like(density)
    tau = np.zeros((away, right), np.float32)
    above = np.zeros((away, right), np.float32)
    ys, xs = np.arange(away) - north, np.arange(right) - east
    for z in range(up - 1, -1, -1):
        slab = density[z]
        tau = stretch(stretch(tau, 0, ys), 1, xs) + slab * path
        above = above * np.float32(0.985) + slab
        lit[z] = 0.66 * np.exp(-tau) + 0.26 * np.exp(-0.2 * tau) + 0.08 * np.exp(-0.03 * tau)
        open_sky[z] = 0.5 * np.exp(-0.4 * above) + 0.5 * np.exp(-0.045 * above)
    height = up + int(lean * away * DEPTH_STEP)
    sunlight, skylight = (
        np.zeros((height, right), np.float32),
        np.zeros((height, right), np.float32),
    )
    clear = np.ones((height, right), np.float32)
    for y in range(away):
        low = int(lean * (away - 1 - y) * DEPTH_STEP)
        rows = slice(low, low + up)
        seen = clear[rows] * (1 - np.exp(-density[:, y] * DEPTH_STEP))
        sunlight[rows] += seen * lit[:, y]
        skylight[rows] += seen * open_sky[:, y]
        clear[rows] -= seen
    return sunlight[::-1], skylight[::-1], 1 - clear[::-1]
