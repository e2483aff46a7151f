"""Anchoring: a long dream's tones are held near the original's, so that it does not drift.

Without it, hundreds of steps push ever more pixels to black and white and all colours to their
extremes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from reverie.engine.canvas import bands

if TYPE_CHECKING:
    from torch import Tensor

BINS = 2048
"""Bins of a histogram over -0.5..1.5: 1024 between black and white, and room to overshoot."""
_PER_UNIT = 1024
_LOWEST = -0.5
_INSIDE = 1 / 64
"""A value is taken to be at least so far inside its bin, so that rounding keeps it there."""


class Anchor:
    """Pulls each channel's histogram towards that of the original.

    A value v moves to Q(F(v)): F is the picture's cumulative histogram, Q the inverse of the
    original's. That keeps the order of tones, and what the dream drew, but gives every tone the
    share of the picture that it had; mean and deviation alone would leave the ends to clipping.
    Histograms have 1024 bins between black and white and are linear within one, so that the match
    is exact to about a quarter of a grey level, without sorting a large picture. Source: Gonzalez,
    Woods, Digital Image Processing, 4th ed., section 3.3, histogram specification.

    Args:
        original: (N, 3, H, W).
        mask: (N or 1, 1, H, W) in 0..1: only where it is above 0 tones count, and they move by as
            much of the way; None is 1 everywhere.
    """

    def __init__(self, original: Tensor, mask: Tensor | None = None) -> None:
        self._mask = mask
        self._goal = _histograms(original, mask)

    def pull(self, picture: Tensor, share: float) -> None:
        """Move pictures (N, 3, H, W), in place, by `share` of the way to the original's tones."""
        now = _histograms(picture, self._mask)
        for rows in bands(picture, self._mask):
            for number, image in enumerate(picture[:, :, rows]):
                by: Tensor | float = share
                if self._mask is not None:
                    by = share * self._mask[min(number, len(self._mask) - 1), 0, rows]
                for channel, values in enumerate(image):
                    wanted = _matched(values, now[number, channel], self._goal[number, channel])
                    image[channel] += by * (wanted - values)


def _histograms(image: Tensor, mask: Tensor | None) -> Tensor:
    """Give the cumulative histograms (N, 3, BINS + 1), from 0 to 1, of where the mask is not 0."""
    counts = torch.zeros((*image.shape[:2], BINS), dtype=torch.long, device="cpu")
    for rows in bands(image, mask):
        for number, each in enumerate(image[:, :, rows]):
            chosen = each.flatten(1)
            if mask is not None:
                where = mask[min(number, len(mask) - 1), 0, rows].flatten() > 0
                chosen = chosen[:, where]
            for channel, values in enumerate(chosen):
                bins = _place(values).long()
                counts[number, channel] += torch.bincount(bins, minlength=BINS).cpu()
    total = counts.sum(dim=2, keepdim=True).clamp_min(1)
    shares = counts.double().cumsum(dim=2) / total
    start = shares.new_zeros((*image.shape[:2], 1))
    return torch.cat([start, shares], dim=2).float().to(image.device)


def _place(values: Tensor) -> Tensor:
    """Say in which bin values are, and after the point where in it."""
    return ((values - _LOWEST) * _PER_UNIT).clamp(0, BINS - _INSIDE)


def _matched(values: Tensor, now: Tensor, goal: Tensor) -> Tensor:
    """Give values (H, W) the tones of another cumulative histogram, (BINS + 1,) each."""
    place = _place(values)
    bins = place.long()
    within = (place - bins).clamp_(_INSIDE, 1 - _INSIDE)
    below, above = now[bins], now[bins + 1]
    share = torch.lerp(below, above, within).clamp_(torch.finfo(now.dtype).tiny, 1)
    bins = (torch.searchsorted(goal, share) - 1).clamp_(0, BINS - 1)
    below, above = goal[bins], goal[bins + 1]
    within = (share - below) / (above - below).clamp_min(torch.finfo(now.dtype).tiny)
    return (bins + within.clamp_(0, 1)) / _PER_UNIT + _LOWEST
