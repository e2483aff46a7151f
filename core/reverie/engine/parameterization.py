"""The built-in spaces in which a picture climbs: its pixels, or its Fourier coefficients."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.functional import jvp, vjp

from reverie.types import Parameterization

PIXELS = Parameterization(
    name="pixels",
    summary="Every pixel by itself: the classic, with the finest grain.",
    encode=lambda image: image,
    decode=lambda latent, _size: latent,
)

_COLOR_ROOT = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
"""Square root of the covariance of ImageNet's colours (lucid, optvis/param/color.py)."""


def _color_root(like: Tensor) -> Tensor:
    root = torch.tensor(_COLOR_ROOT, device=like.device, dtype=like.dtype)
    longest: Tensor = torch.linalg.vector_norm(root, dim=0).max()
    return root / longest


def _falloff(size: tuple[int, int], like: Tensor) -> Tensor:
    """One over the frequency, as in natural pictures: (H, W // 2 + 1)."""
    height, width = size
    down = torch.fft.fftfreq(height, device=like.device, dtype=like.dtype)[:, None]
    across = torch.fft.rfftfreq(width, device=like.device, dtype=like.dtype)[None]
    return 1 / torch.hypot(down, across).clamp_min(1 / max(size))


def _to_fourier(image: Tensor) -> Tensor:
    size = (image.shape[2], image.shape[3])
    colors = torch.einsum("dc,nchw->ndhw", torch.linalg.inv(_color_root(image)), image - 0.5)
    spectrum = torch.fft.rfft2(colors, norm="ortho") / _falloff(size, image)
    return torch.view_as_real(spectrum)


def _from_fourier(latent: Tensor, size: tuple[int, int]) -> Tensor:
    spectrum = torch.view_as_complex(latent) * _falloff(size, latent)
    colors = torch.fft.irfft2(spectrum, s=size, norm="ortho")
    return torch.einsum("cd,ndhw->nchw", _color_root(latent), colors) + 0.5


FOURIER = Parameterization(
    name="fourier",
    summary="Fourier coefficients with decorrelated colours: large smooth shapes first.",
    encode=_to_fourier,
    decode=_from_fourier,
)
"""Olah, Mordvintsev, Schubert 2017, Feature Visualization, section "Preconditioning"."""

BUILT_IN = (PIXELS, FOURIER)


def move(
    space: Parameterization, latent: Tensor, picture: Tensor, motion: Tensor, *, clip: bool
) -> tuple[Tensor, Tensor]:
    """Take one step in a space.

    Args:
        space: what latents mean.
        latent: where the pictures are in it.
        picture: the decoded latent, (N, 3, H, W).
        motion: how far each pixel should move; the space moves as far on average, in its own way.
        clip: keep the pictures in 0..1.
    Returns:
        The new latent and the new pictures.
    """
    size = (picture.shape[2], picture.shape[3])
    if space is PIXELS:
        picture = picture + motion
        picture = picture.clamp(0, 1) if clip else picture
        return picture, picture

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
