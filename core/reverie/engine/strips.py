"""A convolution and the pooling after it, strip by strip, so that what lies between is never whole.

The first convolution of a network gives its largest map, up to 50 MB for each megapixel in bf16, of
which maximum pooling leaves a quarter. In strips of a few MB that map stays in the processor's
cache, both ways.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from reverie.engine.operations import Convolution, MaxPool, Operation, dense, read_once

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from reverie.engine.kernels import Kernels
    from reverie.engine.operations import Gradients
    from reverie.networks.program import Slot

_STRIP = 4 << 20
"""Bytes of a strip between convolution and pooling: it fits beside the weights into most caches."""
_FEWEST = 8
"""Pooled rows of a strip: fewer would make the rows that two strips share expensive."""


def in_strips(operations: Sequence[Operation], wanted: Collection[Slot]) -> list[Operation]:
    """Join each convolution with the maximum pooling that alone reads it.

    Args:
        operations: in the order in which they run.
        wanted: values that must be there as a whole.
    """
    once = read_once(operations, wanted)
    joined: list[Operation] = []
    for operation in operations:
        before = joined[-1] if joined else None
        if (
            isinstance(before, Convolution)
            and isinstance(operation, MaxPool)
            and operation.inputs == before.outputs
            and before.outputs[0] in once
            and _can_join(before, operation)
        ):
            joined[-1] = PooledConvolution(before, operation)
        else:
            joined.append(operation)
    return joined


def _can_join(convolution: Convolution, pool: MaxPool) -> bool:
    window = pool.window
    return (
        pool.is_closed
        and convolution.is_turned
        and convolution.dilation == (1, 1)
        and window.padding == (0, 0)
        and window.stride[0] <= window.kernel[0]
    )


class PooledConvolution(Operation):
    """A convolution with a ReLU, and the maximum pooling that alone reads it."""

    def __init__(self, convolution: Convolution, pool: MaxPool) -> None:
        super().__init__(convolution.inputs, pool.outputs)
        self.convolution = convolution
        self._window = pool.window

    def forward(self, values: dict[Slot, Any], kernels: Kernels) -> tuple[Any, Tensor]:
        """Convolve and pool."""
        image = values[self.inputs[0]]
        kernel, padding = self.convolution.weight.shape[2], self.convolution.padding
        height = image.shape[2] + 2 * padding[0] - kernel + 1
        width = image.shape[3] + 2 * padding[1] - self.convolution.weight.shape[3] + 1
        pooled, winners = [], []
        for first, last in self._strips(image, height, width):
            start, stop = self._between(first, last, height)
            seen = _rows(image, start - padding[0], stop - padding[0] + kernel - 1)
            middle = self.convolution.run(seen, (0, padding[1]))
            part, won = kernels.max_pool(middle, self._window, closed=True)
            pooled.append(part)
            winners.append(won)
        values[self.outputs[0]] = _joined(pooled)
        return (image.shape[2], height, width), _joined(winners)

    def backward(self, gradients: Gradients, kept: tuple[Any, Tensor], kernels: Kernels) -> None:
        """Give each window's gradient to its winner, and convolve back."""
        gradient = gradients.take(self.outputs[0])
        if gradient is None:
            return
        (length, height, width), winners = kept
        kernel, padding = self.convolution.weight.shape[2], self.convolution.padding[0]
        across = (0, self.convolution.back_padding[1])
        strips = self._strips(gradient, height, width)
        bounds = [self._window.stride[0] * first for first, _ in strips][1:]
        found = []
        for start, stop in zip([0, *bounds], [*bounds, length], strict=True):
            # The rows between that these rows of the picture went into, and the windows over them.
            top, bottom = start + padding - kernel + 1, stop + padding
            middle = self._unpooled(gradient, winners, (top, bottom), (height, width), kernels)
            found.append(self.convolution.run_back(middle, across))
        gradients.put(self.inputs[0], _joined(found))

    def _unpooled(
        self,
        gradient: Tensor,
        winners: Tensor,
        rows: tuple[int, int],
        size: tuple[int, int],
        kernels: Kernels,
    ) -> Tensor:
        """Give some rows of the gradient between; those outside the map are 0."""
        step, window = self._window.stride[0], self._window.kernel[0]
        last = min(gradient.shape[2], (min(rows[1], size[0]) - 1) // step + 1)
        first = min(max(0, -((window - 1 - max(rows[0], 0)) // step)), last - 1)
        start, stop = self._between(first, last, size[0])
        middle = kernels.max_pool_backward(
            dense(gradient[:, :, first:last]),
            dense(winners[:, :, first:last]),
            self._window,
            (stop - start, size[1]),
        )
        return _rows(middle, rows[0] - start, rows[1] - start)

    def _between(self, first: int, last: int, height: int) -> tuple[int, int]:
        """Say which rows between are in the windows of some pooled rows."""
        step, window = self._window.stride[0], self._window.kernel[0]
        return first * step, min((last - 1) * step + window, height)

    def _strips(self, like: Tensor, height: int, width: int) -> list[tuple[int, int]]:
        """Cut the pooled rows, so that a strip between is a few MB."""
        rows = self._window.output_size(height, width)[0]
        of_a_row = len(like) * self.convolution.weight.shape[0] * width * like.element_size()
        most = max(_FEWEST, _STRIP // (of_a_row * self._window.stride[0]))
        count = -(-rows // most)
        bounds = [rows * number // count for number in range(count + 1)]
        return list(pairwise(bounds))


def _rows(image: Tensor, start: int, stop: int) -> Tensor:
    """Give rows of a map, and zeros where there are none."""
    inside = image[:, :, max(0, start) : max(0, min(stop, image.shape[2]))]
    above, below = max(0, -start), max(0, stop - max(start, image.shape[2]))
    return functional.pad(inside, (0, 0, above, below)) if above or below else inside


def _joined(strips: list[Tensor]) -> Tensor:
    return strips[0] if len(strips) == 1 else torch.cat(strips, dim=2)
