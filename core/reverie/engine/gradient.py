"""The gradient of an objective with respect to the picture, and how it is shaped into a step."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from reverie.engine.canvas import bands
from reverie.engine.jitter import roll, unroll
from reverie.engine.reference import activations_of
from reverie.errors import NetworkError
from reverie.networks.pooling import RightPools
from reverie.networks.program import lacks_bf16

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from reverie.engine.reference import Reference
    from reverie.networks.prepared import PreparedNetwork
    from reverie.objectives import Objective

SMOOTHING_GROWTH = 2.0
"""px by which sigma grows from the first step of an octave to the last (pytorch-deepdream)."""
SMOOTHING_RATIOS = (0.5, 1.0, 2.0)
"""The Gaussians that are averaged, in units of sigma (pytorch-deepdream)."""
_SMOOTHED_AT_ONCE = 2**20
"""px: large beside the kernel's reach, whose rows are blurred twice."""


def image_gradient(
    network: PreparedNetwork,
    objective: Objective,
    image: Tensor,
    shift: tuple[int, int] = (0, 0),
    reference: Reference | None = None,
) -> tuple[Tensor, Tensor]:
    """Value and gradient of an objective.

    Args:
        network: prepared for the objective's layers.
        image: (N, 3, H, W) float32 in 0..1; left unchanged.
        shift: px, rows down and columns right, by which the network sees the image rolled.
        reference: what the objective looks at besides, if it does.
    Returns:
        The objective of each picture, (N,), and its gradient, shaped like `image` and not rolled.
    """
    beside = {}
    if reference is not None:
        beside = activations_of(reference, objective, shift, lambda x, by: network(roll(x, by)))
    rolled = roll(image, shift).detach().requires_grad_()
    # A program's pools are right by themselves, and so are PyTorch's on a CPU.
    is_right = network.has_program or image.device.type == "cpu"
    try:
        with nullcontext() if is_right else RightPools():
            value = objective.value({**network(rolled), **beside})
            if not value.requires_grad:
                raise no_gradient(network.record.name)
            (gradient,) = torch.autograd.grad(value.sum(), rolled)
    except (NotImplementedError, RuntimeError) as error:
        if network.dtype is not torch.bfloat16 or not lacks_bf16(error):
            raise
        network.widen()
        return image_gradient(network, objective, image, shift, reference)
    return value.detach(), unroll(gradient, shift)


def no_gradient(name: str) -> NetworkError:
    """Say that a network cannot be dreamed with."""
    return NetworkError(
        f"network: {name!r} lets no gradient back to the picture; in its code, take torch.no_grad()"
        " or torch.inference_mode() away from forward, or choose a layer before them."
    )


def magnitude(gradient: Tensor, by: str) -> Tensor:
    """Give the mean magnitude ("mean") or the deviation ("std") of each picture's gradient.

    Returns:
        (N, 1, 1, 1), above 0 even where a gradient is zero everywhere, to divide by.
    Source: "mean" Mordvintsev, Olah, Tyka 2015, dream.ipynb, make_step; "std" TensorFlow's
    DeepDream tutorial, which leaves the mean in, as here; pytorch-deepdream takes it out.
    """
    dims = (1, 2, 3)
    if by == "mean":
        # By sum(), which rounds least of PyTorch's ways to a mean magnitude, and is fastest.
        sums = [gradient[:, :, rows].abs().sum(dim=dims) for rows in bands(gradient)]
        scale = torch.stack(sums).sum(dim=0) / gradient[0].numel()
    else:
        scale = _deviation(gradient)
    return scale.clamp_min(torch.finfo(gradient.dtype).tiny).view(-1, 1, 1, 1)


def _deviation(gradient: Tensor) -> Tensor:
    """The standard deviation of each picture's gradient, (N,), from those of its bands."""
    height = gradient.shape[2]
    shares, variances, means = [], [], []
    for rows in bands(gradient):
        variance, mean = torch.var_mean(gradient[:, :, rows], dim=(1, 2, 3), correction=0)
        shares.append((rows.stop - rows.start) / height)
        variances.append(variance)
        means.append(mean)
    share, mean = gradient.new_tensor(shares)[:, None], torch.stack(means)
    apart = mean - (share * mean).sum(dim=0)
    return (share * (torch.stack(variances) + apart.square())).sum(dim=0).sqrt()


def smooth(gradient: Tensor, sigma: float, ratios: Sequence[float] = SMOOTHING_RATIOS) -> Tensor:
    """Average three Gaussian blurs of the gradient, of half, one and two times `sigma` px.

    Edges are repeated. Source: gordicaleksa/pytorch-deepdream, utils.py, CascadeGaussianSmoothing,
    which mirrors them; there the kernel is cut off at 4 px, here at 3 sigma.

    Args:
        gradient: written over.
        sigma: px.
        ratios: other Gaussians to average, in units of sigma, the widest last.
    Returns:
        `gradient`.
    """
    halo = smoothing_reach(sigma, ratios)
    above = gradient[:, :, :0]  # as it was, of the rows that are smoothed already
    for rows in bands(gradient, most=_SMOOTHED_AT_ONCE):
        seen = torch.cat([above, gradient[:, :, rows.start : rows.stop + halo]], dim=2)
        start, stop = above.shape[2], above.shape[2] + rows.stop - rows.start
        blurred = [_blur(seen, ratio * sigma)[:, :, start:stop] for ratio in ratios]
        gradient[:, :, rows] = torch.stack(blurred).mean(dim=0)
        above = seen[:, :, max(0, stop - halo) : stop]
    return gradient


def smoothing_reach(sigma: float, ratios: Sequence[float] = SMOOTHING_RATIOS) -> int:
    """Give how many px around a pixel `smooth` looks."""
    return _radius(ratios[-1] * sigma)


def _blur(image: Tensor, sigma: float) -> Tensor:
    channels = image.shape[1]
    radius = _radius(sigma)
    at = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-((at / sigma) ** 2) / 2)
    kernel = (kernel / kernel.sum()).expand(channels, 1, -1)
    # Repeated: mirrored edges would need a picture larger than the kernel.
    down = functional.pad(image, (0, 0, radius, radius), mode="replicate")
    down = functional.conv2d(down, kernel[..., None], groups=channels)
    across = functional.pad(down, (radius, radius, 0, 0), mode="replicate")
    return functional.conv2d(across, kernel[:, :, None], groups=channels)


def _radius(sigma: float) -> int:
    return max(1, math.ceil(3 * sigma))


def smoothing_sigma(smallest: float, step: int, steps: int) -> float:
    """Sigma in px at a step, counted from 1: it grows over an octave from `smallest`."""
    return smallest + SMOOTHING_GROWTH * step / steps
