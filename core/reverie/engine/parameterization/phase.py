"""Phase: the waves of a picture move, and keep their magnitudes (MACO)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from reverie.engine.parameterization.colour import from_colour, natural_magnitude, to_colour
from reverie.types import Parameterization

if TYPE_CHECKING:
    from torch import Tensor


def encode(image: Tensor) -> Tensor:
    """From (N, 3, H, W) to phases in radians and the picture's own magnitudes.

    (N, 3, H, W // 2 + 1, 2), of the orthonormal rfft2 in decorrelated colours.
    """
    waves = torch.fft.rfft2(from_colour(image), norm="ortho")
    return torch.stack([waves.angle(), waves.abs()], dim=-1)


def encode_naturally(image: Tensor) -> Tensor:
    """Do what `encode` does, but with the magnitudes of natural pictures instead of its own."""
    phases = torch.fft.rfft2(from_colour(image), norm="ortho").angle()
    magnitude = natural_magnitude((image.shape[2], image.shape[3]), image)
    return torch.stack([phases, magnitude.expand_as(phases)], dim=-1)


def decode(latent: Tensor, size: tuple[int, int]) -> Tensor:
    """From phases p and magnitudes r to a picture: 0.5 + C irfft2(r e^(i p)).

    r has no gradient, so that only p climbs. Linear after that, where the paper has a sigmoid.
    Source: Fel et al. 2023, Unlocking Feature Visualization for Deeper Networks with MAgnitude
    Constrained Optimization, section 3.
    """
    phases, magnitude = latent[..., 0], latent[..., 1].detach()
    waves = torch.complex(magnitude * phases.cos(), magnitude * phases.sin())
    return to_colour(torch.fft.irfft2(waves, s=size, norm="ortho"))


PHASE = Parameterization(
    name="phase",
    summary="Moves a picture's waves and keeps how strong each is (MACO on photos); with adam.",
    encode=encode,
    decode=decode,
)
MACO = Parameterization(
    name="maco",
    summary="Moves waves that are as strong as in natural pictures (MACO): from noise, with adam.",
    encode=encode_naturally,
    decode=decode,
    is_exact=False,
)
