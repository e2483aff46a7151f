"""The window of a pool."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from reverie.engine.kernels import Window


@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_the_size_is_pytorchs(kernel: int, stride: int, ceil_mode: bool) -> None:
    for padding in range(kernel // 2 + 1):
        window = Window((kernel, kernel), (stride, stride), (padding, padding), ceil_mode)
        for length in range(kernel, 12):
            pooled = functional.max_pool2d(
                torch.zeros(1, 1, length, 12), kernel, stride, padding, ceil_mode=ceil_mode
            )
            assert window.output_size(length, 12) == tuple(pooled.shape[2:])


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "sentence"),
    [
        ((0, 1), (1, 1), (0, 0), "must be 1 px or more"),
        ((16, 16), (1, 1), (0, 0), "at most 255 px altogether"),
        ((3, 3), (1, 0), (0, 0), "must be 1 px or more"),
        ((3, 3), (1, 1), (3, 0), "below the kernel"),
        ((3, 3), (1, 1), (0, -1), "must be 0 or more"),
    ],
)
def test_an_impossible_window_is_refused(
    kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        Window(kernel, stride, padding)


def test_a_map_smaller_than_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="a map of 2 x 9 px is smaller than the kernel"):
        Window((3, 3), (1, 1), (0, 0)).output_size(2, 9)
