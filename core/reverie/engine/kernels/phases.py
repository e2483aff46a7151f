"""Sums of what overlapping windows give back to their pixels, in PyTorch alone."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from reverie.engine.kernels.protocol import Window


class Phases:
    """The padded map, as one dense map for each place of a pixel within a stride.

    What one position of the windows gives is then added to whole rows, which is several times as
    fast as adding to every second pixel; only at the end are the maps interleaved.
    """

    def __init__(self, like: Tensor, window: Window, size: tuple[int, int]) -> None:
        self._window, self._size = window, size
        lengths = (
            max(outputs + -(-kernel // stride) - 1, -(-(length + padding) // stride))
            for outputs, length, kernel, stride, padding in zip(
                like.shape[2:], size, window.kernel, window.stride, window.padding, strict=True
            )
        )
        shape = (*like.shape[:2], *lengths)
        self._phases = {
            phase: empty_like(like, shape).zero_() for phase in product(*map(range, window.stride))
        }

    def add(self, part: Tensor, ky: int, kx: int) -> None:
        """Add what each window gives to its pixel at (ky, kx)."""
        (down, y), (right, x) = (
            divmod(tap, stride) for tap, stride in zip((ky, kx), self._window.stride, strict=True)
        )
        high, wide = part.shape[2:]
        self._phases[y, x][:, :, down : down + high, right : right + wide] += part

    def merged(self, add: Tensor | None = None) -> Tensor:
        """Give the map without its padding, written into and added to `add`."""
        any_phase = next(iter(self._phases.values()))
        shape = (*any_phase.shape[:2], *self._size)
        result = empty_like(any_phase, shape) if add is None else add
        for (y, x), phase in self._phases.items():
            rows, phase_rows = self._places(0, y)
            columns, phase_columns = self._places(1, x)
            pixels, found = result[:, :, rows, columns], phase[:, :, phase_rows, phase_columns]
            if add is None:
                pixels.copy_(found)
            else:
                pixels.add_(found)
        return result

    def _places(self, axis: int, phase: int) -> tuple[slice, slice]:
        """Where a phase's pixels lie in the map, and in the phase."""
        stride, padding = self._window.stride[axis], self._window.padding[axis]
        first = (phase - padding) % stride
        count = len(range(first, self._size[axis], stride))
        begin = (first + padding) // stride
        return slice(first, None, stride), slice(begin, begin + count)


def empty_like(dense: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Give a channels_last map of some shape, not filled."""
    return torch.empty(
        shape, dtype=dense.dtype, device=dense.device, memory_format=torch.channels_last
    )
