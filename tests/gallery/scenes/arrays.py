"""Arrays as continuous things: read between their samples, soften, and rise smoothly.

Textures are cyclic, so that they may be read anywhere.  Nothing here is random or has a colour.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


def step(low: float, high: float, value: Array | np.floating[Any]) -> Array:
    """Rise smoothly from 0 at `low` to 1 at `high` (either may be the larger)."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def sample(texture: Array, *coords: Array) -> Array:
    """Read a cyclic texture at fractional index coordinates, linearly interpolated."""
    total: Array = np.zeros((), np.float32)
    base = [np.floor(c).astype(np.int64) for c in coords]
    frac = [(c - b).astype(np.float32) for c, b in zip(coords, base, strict=True)]
    for corner in np.ndindex(*(2,) * len(coords)):
        index = tuple((b + k) % n for b, k, n in zip(base, corner, texture.shape, strict=False))
        sides = [t if k else 1 - t for k, t in zip(corner, frac, strict=True)]
        weight = reduce(np.multiply, sides)
        total = total + texture[index] * weight
    return np.asarray(total, np.float32)


def stretch(texture: Array, axis: int, coords: Array) -> Array:
    """Resample one axis of a cyclic array at the given index coordinates."""
    low = np.floor(coords).astype(np.int64)
    shape = [1] * texture.ndim
    shape[axis] = -1
    t = (coords - low).astype(np.float32).reshape(shape)
    n = texture.shape[axis]
    a = np.take(texture, low % n, axis)
    return np.asarray(a + (np.take(texture, (low + 1) % n, axis) - a) * t, np.float32)


def blur(picture: Array, radius: float) -> Array:
    """Gaussian blur of an (H, W) picture that wraps around; radius is the deviation in px."""
    f = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in picture.shape), indexing="ij"))
    soft = np.exp(-2 * (np.pi * f * radius) ** 2)
    return np.asarray(np.fft.ifft2(np.fft.fft2(picture) * soft).real, np.float32)
