"""Fourier: waves over the whole picture, in colours that vary independently."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from reverie.engine.parameterization.colour import frequencies, from_colour, to_colour
from reverie.types import Parameterization

if TYPE_CHECKING:
    from torch import Tensor

DECAY = 1.0
"""lucid's decay_power: how much less a fine wave weighs than a coarse one."""


def encode(image: Tensor) -> Tensor:
    """From (N, 3, H, W) to waves, real and imaginary, (N, 3, H, W // 2 + 1, 2)."""
    size = (image.shape[2], image.shape[3])
    waves = torch.fft.rfft2(from_colour(image), norm="ortho")
    return torch.view_as_real(waves / _scale(size, image))


def decode(latent: Tensor, size: tuple[int, int]) -> Tensor:
    """From waves to a picture: 0.5 + C irfft2(latent / max(f, 1 / max(H, W))^DECAY).

    f is a wave's frequency in cycles per px, C the matrix of decorrelated colours. Linear, so that
    every photo can be encoded and comes back as it was; lucid has a sigmoid after it, behind which
    black and white would lie infinitely far away.
    Source: lucid, optvis/param/spatial.py, fft_image.
    """
    waves = torch.view_as_complex(latent) * _scale(size, latent)
    return to_colour(torch.fft.irfft2(waves, s=size, norm="ortho"))


def _scale(size: tuple[int, int], like: Tensor) -> Tensor:
    return frequencies(size, like).clamp_min(1 / max(size)) ** -DECAY


FOURIER = Parameterization(
    name="fourier",
    summary="Waves in decorrelated colours (lucid): smooth, large shapes; use it with adam.",
    encode=encode,
    decode=decode,
)
