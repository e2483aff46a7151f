"""The perspective of a flat plane, which high clouds, northern lights and lakes share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .arrays import Array


def plane(height: int, width: int, horizon: float) -> tuple[Array, Array]:
    """Where each pixel meets a plane one unit under (or over) the eye: away, right."""
    row = np.abs(np.arange(height, dtype=np.float32) + 0.5 - horizon).clip(0.7)[:, None]
    column = np.arange(width, dtype=np.float32)[None, :] - width / 2
    return width / row + 0 * column, column / row
