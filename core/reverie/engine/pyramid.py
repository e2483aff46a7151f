"""Laplacian pyramid normalisation: every size of detail in a gradient gets the same strength.

A gradient is mostly fine grain, and the step follows it. Cut into bands of which each is half as
fine as the one before, and every band divided by its own magnitude, coarse shapes grow as fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from reverie.engine.canvas import bands, empty

if TYPE_CHECKING:
    from torch import Tensor

_KERNEL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
"""Binomial, in each direction (Burt, Adelson 1983)."""
_REACH = 2
"""px on each side of the kernel's middle."""
_FAINT = 1e-6
"""A band that is fainter beside the whole gradient is rounding, and is not raised."""
_SMALLEST = 4
"""px; a picture with a shorter side has no coarser band."""


def lapnorm(gradient: Tensor, levels: int) -> Tensor:
    """Bring all bands of a gradient to the same magnitude.

    With d to halve a picture (blurred by the binomial kernel, every second pixel) and u to double
    it again, x_0 is the gradient and x_(k+1) = d x_k; the bands are h_k = x_k - u x_(k+1), and what
    is left, x_n. All are divided by their root mean square over the picture and its colours, and
    put together again: y_n = x_n / rms(x_n), y_k = u y_(k+1) + h_k / rms(h_k).

    Source: TensorFlow's first notebook, r1 deepdream.ipynb, lap_normalize, which has 4 levels;
    Burt, Adelson 1983, The Laplacian Pyramid as a Compact Image Code. There edges are black, here
    they are repeated; there a band is raised if it is above 1e-10, here above 1e-6 of the gradient.

    Args:
        gradient: (N, 3, H, W), written over; worked on in bands.
        levels: how many bands besides what is left; fewer for a small picture, 0 does nothing.
    Returns:
        `gradient`.
    """
    least = _rms(gradient) * _FAINT
    return _normalised(gradient, levels, least) if levels else gradient


def lapnorm_reach(levels: int) -> int:
    """Give how many px around a pixel `lapnorm` looks, apart from the magnitudes.

    >>> lapnorm_reach(4)
    60
    """
    return 2 * _REACH * ((1 << levels) - 1)


def _normalised(image: Tensor, levels: int, least: Tensor) -> Tensor:
    if not levels or min(image.shape[2:]) < _SMALLEST:
        return _divided(image, _rms(image).maximum(least))
    coarse = _halved(image)
    fine = _rms(image, coarse).maximum(least)
    # y = (x - u c) / rms + u y' = x / rms + u (y' - c / rms): one enlargement for both.
    below = empty(coarse.shape, like=coarse)
    for rows in bands(below, coarse):
        below[:, :, rows] = coarse[:, :, rows]
    below = _normalised(below, levels - 1, least)
    for rows in bands(below, coarse):
        below[:, :, rows] -= coarse[:, :, rows] / fine
    del coarse
    for rows in bands(image, below):
        image[:, :, rows] = image[:, :, rows] / fine + _doubled(below, rows, image.shape[3])
    return image


def _divided(image: Tensor, by: Tensor) -> Tensor:
    for rows in bands(image):
        image[:, :, rows] /= by
    return image


def _rms(image: Tensor, coarse: Tensor | None = None) -> Tensor:
    """The root mean square of each picture, or of its finest band; (N, 1, 1, 1), above 0."""
    sums = []
    for rows in bands(image, coarse):
        part = image[:, :, rows]
        if coarse is not None:
            part = part - _doubled(coarse, rows, image.shape[3])
        sums.append(part.square().sum(dim=(1, 2, 3)))
    square = torch.stack(sums).sum(dim=0) / image[0].numel()
    return square.sqrt().clamp_min(torch.finfo(image.dtype).tiny).view(-1, 1, 1, 1)


def _halved(image: Tensor) -> Tensor:
    """Blur, and take every second row and column, the first ones too."""
    height, width = image.shape[2:]
    result = empty((*image.shape[:2], -(-height // 2), -(-width // 2)), like=image)
    down, across = _kernels(image)
    for rows in bands(result, image):
        first, last = 2 * rows.start - _REACH, 2 * rows.stop - 1 + _REACH
        seen = image[:, :, max(0, first) : last]
        missing = (0, 0, max(0, -first), max(0, last - height))
        seen = functional.pad(seen, missing, mode="replicate")
        seen = functional.conv2d(seen, down, stride=(2, 1), groups=image.shape[1])
        seen = functional.pad(seen, (_REACH, _REACH, 0, 0), mode="replicate")
        result[:, :, rows] = functional.conv2d(seen, across, stride=(1, 2), groups=image.shape[1])
    return result


def _doubled(coarse: Tensor, rows: slice, width: int) -> Tensor:
    """Give some rows of a picture twice as large, between whose pixels others are filled in."""
    down, across = (2 * kernel for kernel in _kernels(coarse))
    groups = coarse.shape[1]
    # A row is made of those of the coarse picture that are at most a kernel away; one more on each
    # side than there are is repeated.
    first, last = rows.start // 2 - 1, (rows.stop + 1) // 2 + 1
    seen = coarse[:, :, max(0, first) : last]
    missing = (0, 0, max(0, -first), max(0, last - coarse.shape[2]))
    seen = functional.pad(seen, missing, mode="replicate")
    seen = functional.conv_transpose2d(seen, down, stride=(2, 1), groups=groups)
    start = rows.start - 2 * first + _REACH
    seen = seen[:, :, start : start + rows.stop - rows.start]
    seen = functional.pad(seen, (1, 1, 0, 0), mode="replicate")
    seen = functional.conv_transpose2d(seen, across, stride=(1, 2), groups=groups)
    return seen[:, :, :, 2 + _REACH : 2 + _REACH + width]


def _kernels(image: Tensor) -> tuple[Tensor, Tensor]:
    kernel = torch.tensor(_KERNEL, device=image.device, dtype=image.dtype)
    kernel = kernel.expand(image.shape[1], 1, -1)
    return kernel[..., None], kernel[:, :, None]
