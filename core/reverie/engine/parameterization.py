"""The spaces in which a picture climbs: its pixels, or what a plug-in offers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.functional import jvp, vjp

from reverie.engine.canvas import bands
from reverie.types import Parameterization

PIXELS = Parameterization(
    name="pixels",
    summary="Every pixel by itself: the classic, with the finest grain.",
    encode=lambda image: image,
    decode=lambda latent, _size: latent,
)

BUILT_IN = (PIXELS,)


def move(
    space: Parameterization,
    latent: Tensor,
    picture: Tensor,
    gradient: Tensor,
    pace: Tensor,
    mask: Tensor | None = None,
    *,
    clip: bool,
) -> tuple[Tensor, Tensor]:
    """Take one step up the gradient in a space.

    Args:
        space: what latents mean.
        latent: where the pictures are in it.
        picture: the decoded latent, (N, 3, H, W); written over.
        gradient: shaped like `picture`; written over.
        pace: times the gradient it is how far each pixel should move, (N, 1, 1, 1); the space
            moves as far on average, in its own way.
        mask: multiplied into the motion, (N or 1, 1, H, W); None is 1 everywhere.
        clip: keep the pictures in 0..1.
    Returns:
        The new latent and the new pictures.
    """
    if space is PIXELS:
        for rows in bands(picture, gradient, mask):
            part = picture[:, :, rows]
            part.addcmul_(gradient[:, :, rows], pace if mask is None else pace * mask[:, :, rows])
            if clip:
                part.clamp_(0, 1)
        return picture, picture
    size = (picture.shape[2], picture.shape[3])
    motion = gradient.mul_(pace if mask is None else pace * mask)

    def decode(latent: Tensor) -> Tensor:
        return space.decode(latent, size)

    # The gradient goes to the latent through the decoder, and from there to the pictures again to
    # see how far they would move: both linear, so the ratio of the lengths is the step to take.
    _, direction = vjp(decode, latent, motion)  # type: ignore[no-untyped-call]
    _, moved = jvp(decode, latent, direction)  # type: ignore[no-untyped-call]
    ratio = _length(motion) / _length(moved).clamp_min(torch.finfo(moved.dtype).tiny)
    latent = latent + direction * ratio.view(-1, *[1] * (latent.ndim - 1))
    picture = decode(latent)
    if clip and (picture.amin() < 0 or picture.amax() > 1):
        latent = space.encode(picture.clamp(0, 1))
        picture = decode(latent)
    return latent, picture


def _length(motion: Tensor) -> Tensor:
    return motion.abs().mean(dim=(1, 2, 3))
