"""The gradient of an objective with respect to the picture, and how it is shaped into a step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from reverie.engine.jitter import roll, unroll

if TYPE_CHECKING:
    from torch import Tensor

    from reverie.networks.loading import PreparedNetwork
    from reverie.objectives import Objective

SMOOTHING_GROWTH = 2.0
"""px by which sigma grows from the first step of an octave to the last (pytorch-deepdream)."""
SMOOTHING_RATIOS = (0.5, 1.0, 2.0)
"""The Gaussians that are averaged, in units of sigma (pytorch-deepdream)."""


def image_gradient(
    network: PreparedNetwork, objective: Objective, image: Tensor, shift: tuple[int, int] = (0, 0)
) -> tuple[Tensor, Tensor]:
    """Value and gradient of an objective.

    Args:
        network: prepared for the objective's layers.
        image: (N, 3, H, W) float32 in 0..1; left unchanged.
        shift: px, rows down and columns right, by which the network sees the image rolled.
    Returns:
        The objective of each picture, (N,), and its gradient, shaped like `image` and not rolled.
    """
    image = roll(image, shift).detach().requires_grad_()
    value = objective.value(network(image))
    (gradient,) = torch.autograd.grad(value.sum(), image)
    return value.detach(), unroll(gradient, shift)


def normalize(gradient: Tensor, by: str) -> Tensor:
    """Scale the gradient of each picture to a mean magnitude ("mean") or deviation ("std") of 1.

    A gradient that is zero everywhere stays zero.
    Source: "mean" Mordvintsev, Olah, Tyka 2015, dream.ipynb, make_step; "std" TensorFlow's
    DeepDream tutorial, which leaves the mean in, as here; pytorch-deepdream takes it out.
    """
    dims = (1, 2, 3)
    if by == "mean":
        scale = gradient.abs().mean(dim=dims, keepdim=True)
    else:
        scale = gradient.std(dim=dims, keepdim=True, correction=0)
    return gradient / scale.clamp_min(torch.finfo(gradient.dtype).tiny)


def smooth(gradient: Tensor, sigma: float) -> Tensor:
    """Average three Gaussian blurs of the gradient, of half, one and two times `sigma` px.

    Edges are mirrored. Source: gordicaleksa/pytorch-deepdream, utils.py, CascadeGaussianSmoothing;
    there the kernel is cut off at 4 px, here at 3 sigma.
    """
    blurred = [_blur(gradient, ratio * sigma) for ratio in SMOOTHING_RATIOS]
    return torch.stack(blurred).mean(dim=0)


def _blur(image: Tensor, sigma: float) -> Tensor:
    channels = image.shape[1]
    radius = max(1, math.ceil(3 * sigma))
    at = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-((at / sigma) ** 2) / 2)
    kernel = (kernel / kernel.sum()).expand(channels, 1, -1)
    # Replicated rather than mirrored where a picture is narrower than the kernel.
    down = functional.pad(image, (0, 0, radius, radius), mode="replicate")
    down = functional.conv2d(down, kernel[..., None], groups=channels)
    across = functional.pad(down, (radius, radius, 0, 0), mode="replicate")
    return functional.conv2d(across, kernel[:, :, None], groups=channels)


def smoothing_sigma(smallest: float, step: int, steps: int) -> float:
    """Sigma in px at a step, counted from 1: it grows over an octave from `smallest`."""
    return smallest + SMOOTHING_GROWTH * step / steps
