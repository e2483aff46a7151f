"""The kernels in PyTorch alone, for every device and wherever nothing can be compiled."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from reverie.engine.kernels.bits import as_integers, clear_outside, pack_positive
from reverie.engine.kernels.phases import Phases, empty_like
from reverie.networks.pooling import avg_pool2d_backward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reverie.engine.kernels.protocol import Mask, Padding, Window, Winners

_ATEN_BACKWARD = torch.ops.aten.avg_pool2d_backward
_LAST = torch.channels_last
_SHORT = 2**15
"""What 16-bit whole numbers cannot hold."""


class PlainKernels:
    """See `Kernels`. A mask is what `bits.pack_positive` gives."""

    def ingest(
        self,
        image: Tensor,
        shift: tuple[int, int],
        mean: Sequence[float],
        padding: Padding,
        unshuffle: bool,
        dtype: torch.dtype,
    ) -> Tensor:
        """Roll, centre, pad, fold and cast pictures."""
        top, bottom, left, right = padding
        rolled = torch.roll(image, shift, dims=(2, 3))
        rolled -= image.new_tensor(mean).view(1, 3, 1, 1)
        padded = functional.pad(rolled, (left, right, top, bottom)) if any(padding) else rolled
        folded = functional.pixel_unshuffle(padded, 2) if unshuffle else padded
        return folded.to(dtype).contiguous(memory_format=_LAST)

    def egest(
        self,
        gradient: Tensor,
        size: tuple[int, int],
        shift: tuple[int, int],
        padding: Padding,
        unshuffle: bool,
    ) -> Tensor:
        """Unfold, crop and roll gradients back."""
        top, _, left, _ = padding
        if unshuffle:
            gradient = functional.pixel_shuffle(gradient, 2)
        bottom = gradient.shape[2] - top - size[0]
        right = gradient.shape[3] - left - size[1]
        cropped = functional.pad(gradient, (-left, -right, -top, -bottom)).float().contiguous()
        return torch.roll(cropped, (-shift[0], -shift[1]), dims=(2, 3))

    def positive(self, y: Tensor, limit: float = math.inf) -> Mask:
        """Pack the signs."""
        return pack_positive(y, limit)

    def masked(self, g: Tensor, mask: Mask) -> Tensor:
        """Clear, in place."""
        return clear_outside(g, mask)

    def relu_positive(self, x: Tensor, limit: float = math.inf) -> tuple[Tensor, Mask]:
        """Cut off, in place."""
        x.clamp_(0, limit)
        return x, pack_positive(x, limit)

    def concat(self, parts: Sequence[Tensor], *, want_mask: bool) -> tuple[Tensor, Mask | None]:
        """Concatenate."""
        result = torch.cat(list(parts), 1).contiguous(memory_format=_LAST)
        return result, pack_positive(result) if want_mask else None

    def split(self, g: Tensor, mask: Mask | None, sizes: Sequence[int]) -> list[Tensor]:
        """Mask in place and copy the parts."""
        if mask is not None:
            g = clear_outside(g, mask)
        return [part.contiguous(memory_format=_LAST) for part in torch.split(g, list(sizes), 1)]

    def max_pool(self, x: Tensor, window: Window, *, closed: bool) -> tuple[Tensor, Winners]:
        """Let ATen pool, and shorten its indices from 64 to 8 bits."""
        window.output_size(x.shape[2], x.shape[3])
        pooled, indices = torch.ops.aten.max_pool2d_with_indices(
            x, window.kernel, window.stride, window.padding, (1, 1), window.ceil_mode
        )
        codes = _codes(indices, window, x.shape[3])
        if closed:
            # 0 where a value won, else all bits.
            pooled.relu_()
            codes.bitwise_or_(as_integers(pooled).clamp(0, 1).sub_(1).to(codes.dtype))
        return pooled, codes.to(torch.uint8)

    def max_pool_backward(
        self,
        g: Tensor,
        winners: Winners,
        window: Window,
        size: tuple[int, int],
        add: Tensor | None = None,
    ) -> Tensor:
        """Add what each position of the windows won.

        ATen's own backward needs 64-bit indices, and uses one thread for each picture.
        """
        bits = as_integers(g)
        codes = winners.to(bits.dtype)
        won = torch.empty_like(codes)
        sums = Phases(g, window, size)
        for ky, kx in product(range(window.kernel[0]), range(window.kernel[1])):
            torch.eq(codes, ky * window.kernel[1] + kx, out=won)
            sums.add(won.neg_().bitwise_and_(bits).view(g.dtype), ky, kx)
        return sums.merged(add)

    def avg_pool(self, x: Tensor, window: Window, *, count_include_pad: bool) -> Tensor:
        """Let ATen pool."""
        window.output_size(x.shape[2], x.shape[3])
        return functional.avg_pool2d(
            x, window.kernel, window.stride, window.padding, window.ceil_mode, count_include_pad
        )

    def avg_pool_backward(
        self, g: Tensor, window: Window, size: tuple[int, int], *, count_include_pad: bool
    ) -> Tensor:
        """Spread along columns, then along rows, or let ATen.

        ATen uses one thread for each picture; there it is three times as fast in float32, but no
        faster in bfloat16.
        """
        if g.dtype != torch.bfloat16 or g.device.type != "cpu":
            like = empty_like(g, (*g.shape[:2], *size))
            numbers = (window.kernel, window.stride, window.padding, window.ceil_mode)
            spread = avg_pool2d_backward if g.device.type != "cpu" else _ATEN_BACKWARD
            return spread(g, like, *numbers, count_include_pad, None)
        counts = [
            _counts(g, window, axis, size[axis], count_include_pad=count_include_pad)
            for axis in (0, 1)
        ]
        share = g * (1 / (counts[0].view(-1, 1) * counts[1])).to(g.dtype)
        down = Phases(share, window.along(0), (size[0], g.shape[3]))
        for ky in range(window.kernel[0]):
            down.add(share, ky, 0)
        share = down.merged()
        right = Phases(share, window.along(1), size)
        for kx in range(window.kernel[1]):
            right.add(share, 0, kx)
        return right.merged()

    def energy_pool(self, x: Tensor, window: Window, quiet: float) -> Tensor:
        """Pool the squares."""
        return self.avg_pool(x * x, window, count_include_pad=False).add_(quiet).sqrt_()

    def energy_pool_backward(self, g: Tensor, x: Tensor, y: Tensor, window: Window) -> Tensor:
        """Spread, and multiply."""
        share, size = (g / y).to(g.dtype), (x.shape[2], x.shape[3])
        return self.avg_pool_backward(share, window, size, count_include_pad=False).mul_(x)

    def silu(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """Let ATen compute."""
        result = functional.silu(x)
        return result if add is None else result.add_(add)

    def silu_backward(self, g: Tensor, x: Tensor, *, keep: bool = False) -> Tensor:
        """Let ATen compute."""
        same, result = x.to(g.dtype), torch.empty_like(g) if keep else g
        torch.ops.aten.silu_backward.grad_input(g, same, grad_input=result)
        return result


def _codes(indices: Tensor, window: Window, width: int) -> Tensor:
    """Turn y * width + x into ky * kernel_w + kx, in the shortest arithmetic that holds it."""
    kernel, stride, padding = window.kernel, window.stride, window.padding
    dtype = torch.int16 if kernel[0] * width + kernel[1] < _SHORT else torch.int64
    high, wide = indices.shape[2:]
    # The first pixel of each window that is inside the map: y * width + x of it, and its code.
    starts = [
        torch.arange(count, device=indices.device) * s - p
        for count, s, p in zip((high, wide), stride, padding, strict=True)
    ]
    y, x = (start.clamp_min(0) for start in starts)
    first = y.view(-1, 1) * width + x
    code = (y - starts[0]).view(-1, 1) * kernel[1] + x - starts[1]
    codes = indices.to(dtype).sub_(first.to(dtype))
    below = torch.empty_like(codes)
    for row in range(kernel[0] - 1):
        torch.ge(codes, width + row * kernel[1], out=below)
        codes.sub_(below, alpha=width - kernel[1])
    return codes.add_(code.to(dtype))


def _counts(
    like: Tensor, window: Window, axis: int, length: int, *, count_include_pad: bool
) -> Tensor:
    """How many pixels each window is divided by, along one axis."""
    padding = window.padding[axis]
    starts = torch.arange(like.shape[2 + axis], device=like.device) * window.stride[axis] - padding
    ends = (starts + window.kernel[axis]).clamp_max(length + padding)
    if not count_include_pad:
        starts, ends = starts.clamp_min(0), ends.clamp_max(length)
    return (ends - starts).float()
