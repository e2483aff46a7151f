"""Adam: steps that are as long for every coordinate, whatever its gradient's size."""

from __future__ import annotations

import torch
from torch import Tensor

from reverie.engine.canvas import empty

DECAYS = (0.9, 0.999)
"""How much of the mean gradient and the mean square stays from step to step."""
EPSILON = 1e-8
"""Beside the first gradient's mean magnitude, which is 1 here."""
MOMENTS = 2
"""Copies of what climbs that Adam keeps."""


class Adam:
    """The moments of one octave's gradients.

    m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2; the direction after t steps is
    m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + e), of which no coordinate is much larger than 1.
    Source: Kingma, Ba 2015, Adam: A Method for Stochastic Optimization, algorithm 1.

    The gradient's scale does not matter to it, only to e; so each picture's gradients are divided
    by the mean magnitude of the first that is not 0.

    Args:
        like: what climbs, (N, ...); moments of a large picture in a file are in files, too.
    """

    def __init__(self, like: Tensor) -> None:
        self._mean, self._square = (_zeros(like) for _ in range(MOMENTS))
        self._scale = like.new_zeros(len(like))
        self._step = 0

    @property
    def moments(self) -> tuple[Tensor, Tensor]:
        """The running means of the gradient and of its square."""
        return self._mean, self._square

    def begin(self, magnitude: Tensor) -> None:
        """Begin a step.

        Args:
            magnitude: the mean of each picture's absolute gradient, (N,).
        """
        self._step += 1
        least = torch.finfo(magnitude.dtype).tiny
        self._scale = torch.where(self._scale > least, self._scale, magnitude)

    def direction(self, gradient: Tensor, rows: slice = slice(None)) -> Tensor:
        """Take a gradient in, and give the direction; once a step for each row.

        Args:
            gradient: the given rows of it; left unchanged.
            rows: of the third dimension; all, unless what climbs is a picture.
        """
        part = (slice(None), slice(None), rows)[: gradient.ndim]
        mean, square = self._mean[part], self._square[part]
        least = torch.finfo(gradient.dtype).tiny
        scale = self._scale.clamp_min(least).view(-1, *[1] * (gradient.ndim - 1))
        gradient = gradient / scale
        first, second = DECAYS
        mean.mul_(first).add_(gradient, alpha=1 - first)
        square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        spread = (square / (1 - second**self._step)).sqrt_().add_(EPSILON)
        return (mean / (1 - first**self._step)).div_(spread)


def _zeros(like: Tensor) -> Tensor:
    if like.ndim == 4 and like.dtype is torch.float32:  # noqa: PLR2004 - pictures
        return empty(like.shape, like=like).zero_()
    return torch.zeros_like(like)
