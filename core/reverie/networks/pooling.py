"""A pool for networks made for dreaming, and average pools whose padding is right on every device.

PyTorch's CUDA kernel for the backward of a padded average pool is wrong in channels_last order
(largest error 0.6 to 1.4 on random values with 2.11; without padding, or in the usual order, it is
right). So nothing here hands padding to PyTorch: zeros are laid around first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from reverie.ambient import ThreadDispatchMode

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def avg_pool2d(
    image: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Return `torch.nn.functional.avg_pool2d`, with a right gradient on every device.

    Args:
        image: (N, C, H, W) or (C, H, W).
        kernel_size: px, one number or two, as the others are.
        stride: px; by default the kernel's size.
        padding: px at each edge.
        ceil_mode: a last window may reach over the edge.
        count_include_pad: the mean counts the padding's zeros.
        divisor_override: what sums are divided by instead.
    """
    kernel, step, pad = _pair(kernel_size), _pair(stride or kernel_size), _pair(padding)
    if not any(pad):
        return functional.avg_pool2d(
            image, kernel, step, 0, ceil_mode, count_include_pad, divisor_override
        )
    axes = [
        _Axis(*each, ceil_mode) for each in zip(image.shape[-2:], kernel, step, pad, strict=True)
    ]
    padded = functional.pad(image, (*axes[1].zeros, *axes[0].zeros))
    sums = functional.avg_pool2d(padded, kernel, step, divisor_override=1)
    if divisor_override:
        return sums / divisor_override
    return sums / _counts(image, axes, count_include_pad)


def avg_pool2d_backward(
    gradient: Tensor,
    image: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None = None,
) -> Tensor:
    """Return the gradient of `image`, of which only shape, type and order of memory are read."""
    kernel, step, pad = _pair(kernel_size), _pair(stride or kernel_size), _pair(padding)
    backward = torch.ops.aten.avg_pool2d_backward
    if not any(pad):
        rest = (ceil_mode, count_include_pad, divisor_override)
        result: Tensor = backward(gradient, image, kernel, step, (0, 0), *rest)
        return result
    axes = [
        _Axis(*each, ceil_mode) for each in zip(image.shape[-2:], kernel, step, pad, strict=True)
    ]
    divisor = divisor_override or _counts(gradient, axes, count_include_pad)
    share = (gradient / divisor).to(gradient.dtype)
    down, right = axes
    around = image.new_empty((*image.shape[:-2], down.padded, right.padded)).to(
        memory_format=torch.channels_last if image.ndim == 4 else torch.preserve_format  # noqa: PLR2004
    )
    spread: Tensor = backward(share, around, kernel, step, (0, 0), False, True, 1)
    return spread[..., down.pad : down.pad + down.length, right.pad : right.pad + right.length]


class RightPools(ThreadDispatchMode):
    """Computes backwards of padded average pools by `avg_pool2d_backward`, in this thread alone.

    For networks of which there is no program, so that nobody else could keep their pools from
    PyTorch's kernel.
    """

    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Let all others be."""
        if func is torch.ops.aten.avg_pool2d_backward.default and any(_pair(args[4])):
            return avg_pool2d_backward(*args, **kwargs)
        return func(*args, **kwargs)


class _Axis:
    """A padded pool along rows or columns, in px."""

    def __init__(self, length: int, kernel: int, step: int, pad: int, is_ceil: bool) -> None:
        self.length, self.kernel, self.step, self.pad = length, kernel, step, pad
        room = length + 2 * pad - kernel
        self.outputs = (-(-room // step) if is_ceil else room // step) + 1
        if is_ceil and (self.outputs - 1) * step >= length + pad:
            self.outputs -= 1  # the last window must begin inside, or in the padding before
        reach = (self.outputs - 1) * step + kernel
        self.padded = max(reach, length + pad)
        self.zeros = (pad, self.padded - pad - length)

    def counts(self, like: Tensor, *, count_include_pad: bool) -> Tensor:
        """How many values each window is divided by."""
        starts = torch.arange(self.outputs, device=like.device) * self.step - self.pad
        ends = (starts + self.kernel).clamp_max(self.length + self.pad)
        if not count_include_pad:
            starts, ends = starts.clamp_min(0), ends.clamp_max(self.length)
        return (ends - starts).to(like.dtype)


def _counts(like: Tensor, axes: Sequence[_Axis], count_include_pad: bool) -> Tensor:
    down, right = (axis.counts(like, count_include_pad=count_include_pad) for axis in axes)
    return down.view(-1, 1) * right


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    first, *rest = value
    return int(first), int(rest[0] if rest else first)
