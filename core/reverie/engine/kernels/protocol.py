"""What the engine asks of its kernels: everything that happens between two convolutions.

All maps are (N, C, H, W), dense in channels_last order, float32 or bfloat16, and none requires
gradients. Sums of bfloat16 values are rounded at the end or on the way, as each implementation
likes; apart from that, all implementations give the same results.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import Tensor

Mask: TypeAlias = "Tensor"
"""Where ReLUs are open; only the implementation that made it can read it."""
Winners: TypeAlias = "Tensor"
"""uint8, dense like the pooled map: which position won, ky * kernel_w + kx, or `NOBODY`."""
Padding: TypeAlias = tuple[int, int, int, int]
"""px at top, bottom, left and right; negative where the picture is cropped instead."""

NOBODY = 255
"""The winner of a window in which every ReLU is closed."""


@dataclass(frozen=True)
class Window:
    """The window of a pooling layer, in px, as (vertical, horizontal); not dilated.

    Raises:
        ValueError: padding as large as the kernel, sizes below 1, or a kernel of over 255 px.

    >>> Window((3, 3), (2, 2), (0, 0), ceil_mode=True).output_size(112, 7)
    (56, 3)
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    ceil_mode: bool = False
    """Whether a last window may reach over the edge."""

    def __post_init__(self) -> None:
        if min(*self.kernel, *self.stride) < 1 or self.kernel[0] * self.kernel[1] > NOBODY:
            raise ValueError(
                f"window: kernel {self.kernel} and stride {self.stride} must be 1 px or more, "
                f"and the kernel at most {NOBODY} px altogether."
            )
        if any(not 0 <= p < k for p, k in zip(self.padding, self.kernel, strict=True)):
            raise ValueError(
                f"window: padding {self.padding} must be 0 or more and below the kernel, "
                f"{self.kernel}."
            )

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Give the size of the pooled map, as PyTorch does.

        Raises:
            ValueError: the map is smaller than the window.
        """
        high = _outputs(height, self.kernel[0], self.stride[0], self.padding[0], self.ceil_mode)
        wide = _outputs(width, self.kernel[1], self.stride[1], self.padding[1], self.ceil_mode)
        if min(high, wide) < 1:
            raise ValueError(
                f"window: a map of {height} x {width} px is smaller than the kernel "
                f"{self.kernel}; use a larger picture."
            )
        return high, wide

    def along(self, axis: int) -> Window:
        """Give the part of the window along rows down (0) or columns right (1) alone."""
        kernel, stride, padding = [1, 1], [1, 1], [0, 0]
        kernel[axis], stride[axis] = self.kernel[axis], self.stride[axis]
        padding[axis] = self.padding[axis]
        return Window(
            (kernel[0], kernel[1]), (stride[0], stride[1]), (padding[0], padding[1]), self.ceil_mode
        )


def _outputs(length: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    room = length + 2 * padding - kernel
    if not ceil_mode:
        return room // stride + 1
    outputs = -(-room // stride) + 1
    # The last window must begin inside the map or the padding before it.
    return outputs - 1 if (outputs - 1) * stride >= length + padding else outputs


class Kernels(Protocol):
    """The kernels; every implementation has them all."""

    def ingest(
        self,
        image: Tensor,
        shift: tuple[int, int],
        mean: Sequence[float],
        padding: Padding,
        unshuffle: bool,
        dtype: torch.dtype,
    ) -> Tensor:
        """Turn pictures into the network's input.

        Args:
            image: (N, 3, H, W) float32 in 0..1, contiguous.
            shift: px, rows down and columns right, by which it is rolled first.
            mean: what is then subtracted from each channel.
            padding: zeros around that.
            unshuffle: whether 2 x 2 px become one, channel c * 4 + dy * 2 + dx; the padded sides
                are even then.
        Returns:
            A map of 3 or 12 channels in `dtype`.
        """

    def egest(
        self,
        gradient: Tensor,
        size: tuple[int, int],
        shift: tuple[int, int],
        padding: Padding,
        unshuffle: bool,
    ) -> Tensor:
        """Turn the gradient of the network's input into that of the pictures.

        The adjoint of `ingest`, (N, 3, *size) float32, contiguous.
        """

    def positive(self, y: Tensor, limit: float = math.inf) -> Mask:
        """Tell where a ReLU of this output, or input, is open: 0 < y < limit; of NaN either.

        Args:
            limit: above 0, and exact in y's dtype: 6 of a ReLU6.
        """

    def masked(self, g: Tensor, mask: Mask) -> Tensor:
        """Give g where the mask is open, else 0; may overwrite g. g need not have y's dtype."""

    def relu_positive(self, x: Tensor, limit: float = math.inf) -> tuple[Tensor, Mask]:
        """Return min(max(x, 0), limit) and its mask; may overwrite x. NaN stays NaN."""

    def concat(self, parts: Sequence[Tensor], *, want_mask: bool) -> tuple[Tensor, Mask | None]:
        """Lay maps of one size and dtype side by side along the channels; mask the result."""

    def split(self, g: Tensor, mask: Mask | None, sizes: Sequence[int]) -> list[Tensor]:
        """Cut g, masked, into dense maps of these numbers of channels; may overwrite g."""

    def max_pool(self, x: Tensor, window: Window, *, closed: bool) -> tuple[Tensor, Winners]:
        """Give the largest value of each window, and its position.

        The first of equals wins, padding never does, NaN beats all numbers.

        Args:
            closed: x comes from a ReLU, has nothing negative, and zeros never win: the winners are
                then the mask of that ReLU too.
        """

    def max_pool_backward(
        self,
        g: Tensor,
        winners: Winners,
        window: Window,
        size: tuple[int, int],
        add: Tensor | None = None,
    ) -> Tensor:
        """Give each window's gradient to its winner, in a map of `size`, plus `add`.

        Args:
            add: may be overwritten; same dtype as g.
        """

    def avg_pool(self, x: Tensor, window: Window, *, count_include_pad: bool) -> Tensor:
        """Give the mean of each window; `count_include_pad` as PyTorch means it."""

    def avg_pool_backward(
        self, g: Tensor, window: Window, size: tuple[int, int], *, count_include_pad: bool
    ) -> Tensor:
        """Spread each window's gradient evenly over it, in a map of `size`."""

    def energy_pool(self, x: Tensor, window: Window, quiet: float) -> Tensor:
        """Give the root of each window's mean square plus `quiet`; see `EnergyPool2d`."""

    def energy_pool_backward(self, g: Tensor, x: Tensor, y: Tensor, window: Window) -> Tensor:
        """Give the gradient of x, in g's dtype, which need not be x's; y is what was pooled."""

    def silu(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """Give x * sigmoid(x), in memory of its own, plus `add`, shaped like x."""

    def silu_backward(self, g: Tensor, x: Tensor, *, keep: bool = False) -> Tensor:
        """Multiply g with the slope of SiLU at x. g need not have x's dtype.

        Args:
            keep: g must stay as it is; else it may be overwritten.
        """
