"""Linear light: colours, blending, layers, and the picture that is developed from it.

Light is (H, W, 3) and may exceed 1 until `develop` makes display values of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .arrays import Array
    from .noise import Rng


def rgb(*values: float) -> Array:
    """A colour as linear light, 0..1."""
    return np.array(values, np.float32)


def mix(low: Array, high: Array, amount: Array) -> Array:
    """Blend two colours or pictures; `amount` (H, W) gains a channel axis."""
    return low + (high - low) * amount[..., None]


def put(canvas: Array, colour: Array, cover: Array, row: int, column: int) -> None:
    """Lay a picture premultiplied by its cover over the canvas, in place, ending above `row`."""
    height, width = cover.shape
    top, left = max(0, row - height), max(0, column)
    bottom, right = min(row, canvas.shape[0]), min(canvas.shape[1], column + width)
    if top >= bottom or left >= right:
        return
    part = np.s_[top - row + height : bottom - row + height, left - column : right - column]
    view = canvas[top:bottom, left:right]
    view *= 1 - cover[part][..., None]
    view += colour[part]


def shrink(picture: Array) -> Array:
    """Average each 2 x 2 block into one pixel."""
    return np.asarray(
        (picture[::2] + picture[1::2])[:, ::2] / 4 + (picture[::2] + picture[1::2])[:, 1::2] / 4,
        np.float32,
    )


def develop(light: Array, rng: Rng, grain: float = 0.006) -> Array:
    """Turn linear light into a picture 0..1: a filmic shoulder, sRGB-like gamma, fine grain."""
    film = light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14)  # Narkowicz ACES
    soft = rng.standard_normal((*light.shape[:2], 1)) * grain
    return np.asarray(np.clip(np.clip(film, 0, 1) ** (1 / 2.2) + soft, 0, 1), np.float32)
