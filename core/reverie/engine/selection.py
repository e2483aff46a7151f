"""Selections: the engine works only on what a mask needs, and leaves the rest bit for bit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


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
        result = self.whole.clone()
        result[:, :, self.rows, self.columns] = torch.where(self.mask > 0, dreamed, self.pixels)
        return result


def select(pixels: Tensor, mask: Tensor | None, reach: int) -> Area:
    """Find the smallest rectangle that holds everything selected and what its gradient depends on.

    Args:
        pixels: (N, 3, H, W).
        mask: (N or 1, 1, H, W) in 0..1, or None. One that is 0 everywhere gives an empty area.
        reach: px around a pixel that its gradient depends on.
    """
    if mask is None:
        return Area(pixels, slice(None), slice(None), None)
    selected = (mask > 0).any(dim=0)[0]
    rows = _span(selected.any(dim=1), reach)
    columns = _span(selected.any(dim=0), reach)
    return Area(pixels, rows, columns, mask[:, :, rows, columns])


def _span(selected: Tensor, reach: int) -> slice:
    at = selected.nonzero()
    if not len(at):
        return slice(0, 0)
    return slice(max(0, int(at[0]) - reach), int(at[-1]) + 1 + reach)
