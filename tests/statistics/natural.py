"""Measures what engine/parameterization/colour.py says of natural pictures; prints its numbers.

python tests/statistics/natural.py
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage import data

import reverie

SIDE = 256
HALF_OCTAVES = 2 ** np.arange(0.5, 7.01, 0.5)
Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def pictures() -> list[Array]:
    """The middle squares of eight pictures, (256, 256, 3) in 0..1."""
    shipped: Any = data  # no type information
    free = [shipped.astronaut(), shipped.chelsea(), shipped.coffee(), shipped.rocket()]
    samples = sorted((Path(reverie.__file__).parent / "samples").glob("*.jpg"))
    return [_square(Image.fromarray(one)) for one in free] + [
        _square(Image.open(one).convert("RGB")) for one in samples
    ]


def _square(image: Image.Image) -> Array:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((SIDE, SIDE), Image.Resampling.LANCZOS), np.float64) / 255


def colours(images: list[Array]) -> Array:
    """V sqrt(E) of the mean covariance, the first row positive, the largest variance first."""
    values, vectors = np.linalg.eigh(np.mean([np.cov(one.reshape(-1, 3).T) for one in images], 0))
    vectors, values = vectors[:, ::-1], values[::-1]
    matrix: Array = vectors * np.sign(vectors[0]) * np.sqrt(values)
    return matrix


def spectrum(images: list[Array], matrix: Array) -> tuple[list[tuple[float, float]], Array]:
    """For each coordinate a and b of a / k^b, and by how much of it each half octave is off."""
    hann = np.hanning(SIDE)[:, None] * np.hanning(SIDE)[None]
    hann /= np.sqrt(np.square(hann).mean())
    at = np.fft.fftfreq(SIDE) * SIDE
    cycles = np.hypot(at[:, None], at[None])
    rings = [(cycles >= low) & (cycles < high) for low, high in pairwise(HALF_OCTAVES)]
    power = np.zeros((len(rings), 3))
    for one in images:
        coordinates = (one - one.mean((0, 1))) @ np.linalg.inv(matrix).T
        waves = np.fft.fft2(coordinates * hann[..., None], axes=(0, 1), norm="ortho")
        power += [np.square(np.abs(waves[ring])).mean(0) / len(images) for ring in rings]
    middle, measured = np.log(np.sqrt(HALF_OCTAVES[1:] * HALF_OCTAVES[:-1])), np.log(power) / 2
    fits = [np.polyfit(middle, measured[:, band], 1) for band in range(3)]
    off = np.exp([measured[:, b] - np.polyval(fit, middle) for b, fit in enumerate(fits)]) - 1
    return [(float(np.exp(fit[1])) / SIDE, -float(fit[0])) for fit in fits], off


if __name__ == "__main__":
    squares = pictures()
    found = colours(squares)
    laws, misses = spectrum(squares, found)
    sys.stdout.write(f"{found.round(4)}\n{np.round(laws, 3)}\n{misses.round(2)}\n")
