"""Octaves: the sizes at which a picture is dreamed, and resampling between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


def octave_sizes(
    size: tuple[int, int], octaves: int, scale: float, smallest: int = 1
) -> list[tuple[int, int]]:
    """List the sizes (height, width) in px, small to large; the last is `size` itself.

    Octaves whose shorter side would fall below `smallest` px are left out, never the last.
    Source: Mordvintsev, Olah, Tyka 2015, dream.ipynb, deepdream.

    >>> octave_sizes((280, 560), octaves=3, scale=1.4)
    [(143, 286), (200, 400), (280, 560)]
    """
    sizes = [
        (round(size[0] / scale**back), round(size[1] / scale**back))
        for back in range(octaves - 1, 0, -1)
    ]
    return [each for each in sizes if min(each) >= smallest] + [size]


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample (N, C, H, W) to (height, width), bilinear, averaging when it shrinks."""
    if tuple(image.shape[2:]) == tuple(size):
        return image
    return functional.interpolate(
        image, size=size, mode="bilinear", align_corners=False, antialias=True
    )


def fit(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Scale (height, width) so that the longer side is `longest` px; 0 changes nothing.

    >>> fit((300, 600), 512)
    (256, 512)
    """
    if not longest:
        return size
    ratio = longest / max(size)
    return max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))
