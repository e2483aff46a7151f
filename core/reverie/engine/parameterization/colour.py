"""Decorrelated colour, and how natural pictures spread over frequencies.

Measured by tests/statistics/natural.py on eight pictures: four of scikit-image's that are free of
rights (astronaut, chelsea, coffee, rocket) and reverie's four samples, each weighing the same.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

GREY = 0.5
"""Where all coordinates are 0."""
COLOURS = (
    (0.1988, 0.0784, 0.0139),
    (0.1981, -0.0104, -0.0330),
    (0.1883, -0.0718, 0.0200),
)
"""From brightness, red-blue and green-purple to red, green, blue: C = V sqrt(E).

V and E are eigenvectors and eigenvalues of the mean covariance of the eight pictures' colours, so
that coordinates of natural colours are uncorrelated and have the variance 1. lucid's matrix, of
ImageNet, is the same to 0.04 of its largest column.
Source: Olah, Mordvintsev, Schubert 2017, Feature Visualization; lucid, optvis/param/color.py.
"""
SPECTRUM = ((0.363, 1.315), (0.438, 1.440), (0.394, 1.388))
"""For each of those coordinates, a and b of the mean magnitude a / k^b at k cycles per picture.

Fitted to half octaves from 1.4 to 128 cycles, Hann window; brightness is within 17 % of it.
"""


def from_colour(image: Tensor) -> Tensor:
    """Bring (N, 3, H, W) from red, green, blue to decorrelated coordinates; grey is 0."""
    matrix = torch.tensor(COLOURS, dtype=torch.float64, device="cpu").inverse()
    return torch.einsum("dc,nchw->ndhw", matrix.to(image), image - GREY)


def to_colour(coordinates: Tensor) -> Tensor:
    """Undo `from_colour`."""
    matrix = torch.tensor(COLOURS, dtype=torch.float64, device="cpu")
    return torch.einsum("cd,ndhw->nchw", matrix.to(coordinates), coordinates) + GREY


@lru_cache(maxsize=8)
def _frequencies(height: int, width: int) -> Tensor:
    down = torch.fft.fftfreq(height, dtype=torch.float64, device="cpu")
    across = torch.fft.rfftfreq(width, dtype=torch.float64, device="cpu")
    return torch.hypot(down[:, None], across[None])


def frequencies(size: tuple[int, int], like: Tensor) -> Tensor:
    """Give the frequency in cycles per px of each of rfft2's coefficients, (H, W // 2 + 1)."""
    return _frequencies(*size).to(device=like.device, dtype=like.dtype)


def natural_magnitude(size: tuple[int, int], like: Tensor) -> Tensor:
    """Give the magnitudes that natural pictures have on average, (3, H, W // 2 + 1).

    Of the orthonormal rfft2 of decorrelated coordinates: sqrt(HW) a / k^b, with k in cycles over
    sqrt(HW) px; so a larger picture is the same one with more detail. 0 at k = 0: its mean is grey.
    """
    side = math.sqrt(size[0] * size[1])
    cycles = (_frequencies(*size) * side).clamp_min(1e-9)
    bands = [side * a / cycles**b for a, b in SPECTRUM]
    magnitude = torch.stack(bands)
    magnitude[:, 0, 0] = 0
    return magnitude.to(device=like.device, dtype=like.dtype)
