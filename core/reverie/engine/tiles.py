"""Tiles: the gradient of a large picture, computed piece by piece in bounded memory.

A tile is seen with a halo of the receptive field around it, so that its own pixels get the gradient
that the whole picture would give them. Only objectives that are means over positions can be cut up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from reverie.engine.jitter import roll, unroll

Gradient = Callable[[Tensor, tuple[int, int]], tuple[Tensor, Tensor]]
"""From pictures (N, 3, H, W) to an objective's values (N,) and its gradient, shaped like them.

The network sees the pictures rolled by rows and columns in px; the gradient is not rolled.
"""

WHOLE = 2048
"""px; a picture of no more than its square is seen as a whole, and so is a tile with its halo."""


def tiled(gradient: Gradient, halo: int, stride: int, *, whole: int = WHOLE) -> Gradient:
    """Make a gradient that sees large pictures in tiles.

    Values are the tiles' averaged by area. At the right and lower edge, where a picture is no
    multiple of the stride, means are taken over up to one cell more or less than in the whole.

    Args:
        gradient: of the whole picture.
        halo: px around a tile that its pixels' gradient depends on: the receptive field.
        stride: px between the outputs of the deepest layer; tiles start at its multiples.
        whole: side in px of the largest square that is seen at once; more only where the halo
            would leave less than a quarter of it for the tile.
    """
    halo = -(-halo // stride) * stride
    side = max(whole - 2 * halo, whole // 4)

    def piecewise(image: Tensor, shift: tuple[int, int] = (0, 0)) -> tuple[Tensor, Tensor]:
        height, width = image.shape[2:]
        if len(image) > 1 and len(image) * height * width > whole**2:  # one picture at a time
            parts = [piecewise(image[n : n + 1], shift) for n in range(len(image))]
            return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
        if height * width <= whole**2:
            return gradient(image, shift)
        image = roll(image, shift)
        values = torch.zeros(len(image), device=image.device)
        result = torch.empty_like(image)
        for rows, seen_rows in _spans(height, side, halo, stride):
            for columns, seen_columns in _spans(width, side, halo, stride):
                seen = image[:, :, seen_rows, seen_columns]
                value, piece = gradient(seen, (0, 0))
                # The mean over a tile weighs its cells more than the mean over the picture does.
                share = seen[0, 0].numel() / (height * width)
                inner_rows = _within(rows, seen_rows)
                inner_columns = _within(columns, seen_columns)
                result[:, :, rows, columns] = piece[:, :, inner_rows, inner_columns] * share
                values += value * (_length(rows) * _length(columns) / (height * width))
        return values, unroll(result, shift)

    return piecewise


def _spans(length: int, side: int, halo: int, stride: int) -> Iterator[tuple[slice, slice]]:
    """Cut a length into even tiles of at most `side` px, each with what is seen of it."""
    count = -(-length // side)
    side = -(-length // (count * stride)) * stride
    for start in range(0, length, side):
        end = min(start + side, length)
        yield slice(start, end), slice(max(0, start - halo), min(length, end + halo))


def _within(part: slice, seen: slice) -> slice:
    return slice(part.start - seen.start, part.stop - seen.start)


def _length(part: slice) -> int:
    return int(part.stop - part.start)
