"""Jitter: the picture is shifted at random before each step, so that no grid stays."""

from __future__ import annotations

import torch


class Jitter:
    """Random shifts from a seed; the caller's random state is neither read nor changed.

    Args:
        largest: largest shift in px, either way.
        seed: the same seed gives the same shifts on every device.
    Source: Mordvintsev, Olah, Tyka 2015, dream.ipynb, make_step.
    """

    def __init__(self, largest: int, seed: int) -> None:
        self._largest = largest
        self._generator = torch.Generator(device="cpu").manual_seed(seed)

    def shift(self) -> tuple[int, int]:
        """The next shift in px: rows down, columns right."""
        if not self._largest:
            return 0, 0
        drawn = torch.randint(
            -self._largest, self._largest + 1, (2,), generator=self._generator, device="cpu"
        )
        down, right = drawn.tolist()
        return down, right


def roll(image: torch.Tensor, shift: tuple[int, int]) -> torch.Tensor:
    """Shift (N, C, H, W) cyclically by rows and columns in px.

    >>> roll(torch.eye(2)[None, None], (1, 0))[0, 0].tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    return torch.roll(image, shift, dims=(2, 3)) if any(shift) else image


def unroll(image: torch.Tensor, shift: tuple[int, int]) -> torch.Tensor:
    """Undo `roll`."""
    return roll(image, (-shift[0], -shift[1]))
