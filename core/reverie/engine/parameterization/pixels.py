"""Pixels: the space of the classic dream, in which latent and picture are the same."""

from __future__ import annotations

from reverie.types import Parameterization

PIXELS = Parameterization(
    name="pixels",
    summary="Every pixel by itself: the classic, with the finest grain.",
    encode=lambda image: image,
    decode=lambda latent, _size: latent,
)
