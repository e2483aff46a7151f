"""A pool for networks made for dreaming."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


class EnergyPool2d(nn.Module):
    """The root of the mean square of each window: near to a maximum, and smooth.

    sqrt(mean(x^2) + quiet). Henaff, Simoncelli 2016, "Geodesics of learned representations", pool
    so to be rid of the artefacts that strided maxima leave in synthesised pictures. The mean leaves
    the padding out. reverie's engine has an operation for it.
    """

    def __init__(
        self, kernel_size: int = 4, stride: int = 2, padding: int = 1, quiet: float = 0.01
    ) -> None:
        """Halve each side, as it is.

        Args:
            kernel_size: side of the windows; a multiple of `stride` leaves no checkerboard.
            stride: from one window to the next.
            padding: at each edge.
            quiet: added before the root, which has no slope at 0.
        """
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.quiet = quiet

    def forward(self, image: Tensor) -> Tensor:
        """Pool (N, C, H, W)."""
        mean = functional.avg_pool2d(
            torch.square(image),
            self.kernel_size,
            self.stride,
            self.padding,
            count_include_pad=False,
        )
        return torch.sqrt(mean + self.quiet)
