"""What is dreamed on: pictures, and where in a network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Places:
    """Where a network is looked at, by the paths of its modules."""

    early: str
    """Sees little, so that tiles differ from the whole picture."""
    deep: str
    """As reverie's default layers do, it sees much."""
    head: str
    """Its classes."""
    window: int | None = None
    """Side in px of the only picture that it takes."""


@lru_cache(maxsize=64)
def waves(size: tuple[int, int], seed: int) -> Tensor:
    """Make a picture of clouds and grain, (1, 3, *size), 0.05..0.95, nothing flat."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(1, 3, *size)
    for side, strength in ((4, 0.5), (11, 0.3), (29, 0.2)):
        noise = torch.rand(1, 3, side, side + 2, generator=generator)
        total += strength * functional.interpolate(noise, size=size, mode="bilinear")
    total += 0.1 * torch.rand(total.shape, generator=generator) - 0.05
    return total.clamp(0.05, 0.95)
