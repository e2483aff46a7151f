"""Selections: the engine works only on what a mask needs, and leaves the rest bit for bit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.engine.canvas import bands, copied


@dataclass(frozen=True)
class Area:
    """The part of a picture that is dreamed."""

    whole: Tensor
    """The pictures, (N, 3, H, W)."""
    rows: slice
    columns: slice
    mask: Tensor | None
    """The mask of the part, (N or 1, 1, h, w) in 0..1; None selects everything."""

    @property
    def pixels(self) -> Tensor:
        """The part to dream on, (N, 3, h, w)."""
        return self.whole[:, :, self.rows, self.columns]

    def lay_in(self, dreamed: Tensor) -> Tensor:
        """Give the whole pictures with the dreamed part in its place, where the mask is above 0."""
        if self.mask is None:
            return dreamed
        result = copied(self.whole)
        part = result[:, :, self.rows, self.columns]
        for rows in bands(part, dreamed, self.mask) if part.numel() else ():
            chosen = self.mask[:, :, rows] > 0
            part[:, :, rows] = torch.where(chosen, dreamed[:, :, rows], part[:, :, rows])
        return result


def select(pixels: Tensor, mask: Tensor | None, margin: int | None, stride: int = 1) -> Area:
    """Find the smallest rectangle that holds everything selected and a margin around it.

    In smaller octaves the rectangle shrinks with the picture, so that they see as much less around
    the selection.

    Args:
        pixels: (N, 3, H, W).
        mask: (N or 1, 1, H, W) in 0..1, or None. One that is 0 everywhere gives an empty area.
        margin: px; None: the whole picture.
        stride: px; the rectangle starts at a multiple, as the network's own grid does.
    """
    if mask is None or (margin is None and bool((mask > 0).any())):
        return Area(pixels, slice(None), slice(None), mask)
    margin = margin or 0
    selected = (mask > 0).any(dim=0)[0]
    rows = _span(selected.any(dim=1), margin, stride)
    columns = _span(selected.any(dim=0), margin, stride)
    return Area(pixels, rows, columns, mask[:, :, rows, columns])


def _span(selected: Tensor, margin: int, stride: int) -> slice:
    at = selected.nonzero()
    if not len(at):
        return slice(0, 0)
    start = max(0, int(at[0]) - margin)
    return slice(start - start % stride, int(at[-1]) + 1 + margin)
