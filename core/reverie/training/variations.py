"""Varies scenes anew at each step, so that none is learned by heart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from reverie.training.teacher import limits

if TYPE_CHECKING:
    from reverie.training.motifs import Random

_TURNED = 0.6
"""Share of the pictures that are turned and enlarged; the others keep their pixels as they are."""
_LAID = 0.25
"""Share of the pictures into which a piece of another is laid."""


def varied(pictures: Tensor, size: int, random: Random) -> Tensor:
    """Cut squares out of pictures: mirrored, turned, enlarged, tinted, laid into each other.

    Args:
        pictures: (N, 3, S, S), normalised.
        size: px, at most S.
        random: what is done, and how much of it.

    Returns:
        (N, 3, size, size), normalised; no value leaves the range of pictures.
    """
    views = _tinted(_laid(_cut(pictures, size, random), random), random)
    return views.contiguous(memory_format=torch.channels_last)


def _cut(pictures: Tensor, size: int, random: Random) -> Tensor:
    count, whole = len(pictures), pictures.shape[2]
    is_turned = random.random(count) < _TURNED
    angle = np.where(is_turned, np.radians(random.normal(0, 12, count)), 0)
    side = size * np.where(is_turned, np.exp(random.uniform(np.log(0.6), 0.1, count)), 1)
    mirror = random.choice([-1, 1], count)
    room = np.maximum(whole - side, 0)[:, None]
    # Whole px: an unturned picture is not smoothed by interpolation.
    off = np.round(random.random((count, 2)) * room) - room / 2
    scale, (cosine, sine) = side / whole, (np.cos(angle), np.sin(angle))
    rows = [
        [scale * cosine * mirror, -scale * sine, 2 * off[:, 0] / whole],
        [scale * sine * mirror, scale * cosine, 2 * off[:, 1] / whole],
    ]
    affine = torch.from_numpy(np.array(rows).transpose(2, 0, 1).astype(np.float32))
    shape = [count, pictures.shape[1], size, size]
    grid = functional.affine_grid(affine.to(pictures.device), shape, align_corners=False)
    cut = functional.grid_sample(
        pictures, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )
    black, white = limits(cut)
    return cut.clamp(black, white)


def _laid(pictures: Tensor, random: Random) -> Tensor:
    """Lay a rectangle of the picture before into some."""
    size = pictures.shape[2]
    laid = pictures.clone()
    for number in np.flatnonzero(random.random(len(pictures)) < _LAID):
        height, width = (int(size * share) for share in random.uniform(0.25, 0.75, 2))
        top, left = random.integers(size - height + 1), random.integers(size - width + 1)
        place = (slice(None), slice(top, top + height), slice(left, left + width))
        laid[(number, *place)] = pictures[(number - 1, *place)]
    return laid


def _tinted(pictures: Tensor, random: Random) -> Tensor:
    """Give each other contrast and tint, in units of the normalised range."""
    count = len(pictures)
    gain = 1 + random.normal(0, 0.15, (count, 3, 1, 1))
    lift = random.normal(0, 0.2, (count, 3, 1, 1)) + random.normal(0, 0.2, (count, 1, 1, 1))
    tint = torch.from_numpy(np.stack([gain, lift]).astype(np.float32)).to(pictures.device)
    black, white = limits(pictures)
    return (pictures * tint[0] + tint[1]).clamp(black, white)
