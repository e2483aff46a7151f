"""Octaves: the sizes at which a picture is dreamed, and resampling between them."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from reverie.engine.canvas import SMALL, bands, empty, hand_back
from reverie.engine.wrapping import FRAME, Wraps


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


def resize(
    image: Tensor, size: tuple[int, int], like: Tensor | None = None, wraps: Wraps = FRAME
) -> Tensor:
    """Resample (N, C, H, W) to (height, width), bilinear, averaging when it shrinks.

    At its own size, a picture is given back as it is; else, if `like`, or without it `image`, lives
    in a file, a large result does too. What is large is resampled in bands, with
    weights rounded less than PyTorch's, which are 1e-4 off at the far end of 2000 px. Where edges
    meet, what lies across them counts.
    """
    before = (image.shape[2], image.shape[3])
    if before == tuple(size):
        return image
    if wraps != FRAME:
        return _resize_around(image, size, image if like is None else like, wraps)
    if max(before[0] * before[1], size[0] * size[1]) > SMALL:
        return _resize_in_bands(image, size, image if like is None else like)
    return _resize_at_once(image, size)


def _resize_at_once(image: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(
        image, size=size, mode="bilinear", align_corners=False, antialias=True
    )


def _resize_in_bands(image: Tensor, size: tuple[int, int], like: Tensor) -> Tensor:
    """Across, rows do not depend on each other; down, each is a weighted mean of a few."""
    result = empty((*image.shape[:2], *size), like=like)
    first, weights = _taps(image.shape[2], size[0])
    first, weights = first.to(image.device), weights.to(image.device)
    for rows in bands(result):
        top = int(first[rows.start])
        bottom = min(int(first[rows.stop - 1]) + weights.shape[1], image.shape[2])
        across = _resize_at_once(image[:, :, top:bottom], (bottom - top, size[1]))
        hand_back(image)
        band = result[:, :, rows].zero_()
        for tap in range(weights.shape[1]):
            at = (first[rows] - top + tap).clamp_max(bottom - top - 1)
            band.addcmul_(across.index_select(2, at), weights[rows, tap].view(-1, 1))
    return result


def _resize_around(image: Tensor, size: tuple[int, int], like: Tensor, wraps: Wraps) -> Tensor:
    """As in bands, with the same weights in both directions, whose taps may go around."""
    result = empty((*image.shape[:2], *size), like=like)
    (top, down), (left, across) = (
        _taps(before, after, wrapped=wrapped)
        for before, after, wrapped in zip(image.shape[2:], size, wraps, strict=True)
    )
    for rows in bands(result):
        narrow = image.new_zeros((*image.shape[:2], rows.stop - rows.start, image.shape[3]))
        for tap in range(down.shape[1]):
            at = _inside(top[rows] + tap, image.shape[2], wrapped=wraps.down).to(image.device)
            weights = down[rows, tap].view(-1, 1).to(image.device)
            narrow.addcmul_(image.index_select(2, at), weights)
        hand_back(image)
        band = result[:, :, rows].zero_()
        for tap in range(across.shape[1]):
            at = _inside(left + tap, image.shape[3], wrapped=wraps.across).to(image.device)
            band.addcmul_(narrow.index_select(3, at), across[:, tap].to(image.device))
    return result


def _inside(at: Tensor, length: int, *, wrapped: bool) -> Tensor:
    return at % length if wrapped else at.clamp_max(length - 1)


def _taps(before: int, after: int, *, wrapped: bool = False) -> tuple[Tensor, Tensor]:
    """Give for each new row the first old one that it is made of, and the weights from there on.

    A triangle as wide as two rows, or as two new rows where these are farther apart: the filter of
    `interpolate` with `antialias`. Where edges meet, rows count on below 0 and above the last.
    """
    scale = before / after
    reach = max(scale, 1.0)
    centre = (torch.arange(after, dtype=torch.float64, device="cpu") + 0.5) * scale
    first = (centre - reach + 0.5).floor()
    if not wrapped:
        first = first.clamp_min(0)
    rows = first[:, None] + torch.arange(math.ceil(2 * reach) + 1, device="cpu")
    weights = (1 - ((rows + 0.5 - centre[:, None]) / reach).abs()).clamp_min(0)
    if not wrapped:
        weights[rows >= before] = 0
    return first.long(), (weights / weights.sum(dim=1, keepdim=True)).float()


def fit(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Scale (height, width) so that the longer side is `longest` px; 0 changes nothing.

    >>> fit((300, 600), 512)
    (256, 512)
    """
    if not longest:
        return size
    ratio = longest / max(size)
    return max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))
