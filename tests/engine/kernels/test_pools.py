"""Pools against PyTorch's own, forward and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from reverie.engine.kernels import NOBODY, Window

if TYPE_CHECKING:
    from reverie.engine.kernels import Kernels

SHAPES = [
    (1, 16, 8, 8),
    (2, 20, 17, 19),
    (1, 3, 5, 4),
    (2, 1, 9, 1),
    (1, 130, 2, 31),
    (1, 64, 13, 7),
]
WINDOWS = [
    Window((3, 3), (2, 2), (0, 0), ceil_mode=True),
    Window((3, 3), (2, 2), (1, 1)),
    Window((3, 3), (1, 1), (1, 1), ceil_mode=True),
    Window((3, 3), (3, 3), (1, 1), ceil_mode=True),
    Window((2, 2), (2, 2), (0, 0)),
    Window((4, 4), (2, 2), (1, 1)),
    Window((2, 3), (1, 2), (1, 0), ceil_mode=True),
    Window((5, 1), (3, 1), (2, 0), ceil_mode=True),
    Window((1, 1), (3, 2), (0, 0)),
    Window((5, 5), (1, 1), (2, 2)),
]
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 5e-2}
"""bfloat16 may be rounded at each of several sums of about 1; a slip of the kernels is larger."""


def dense(map_: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    return map_.to(dtype).contiguous(memory_format=torch.channels_last)


def shapes(window: Window) -> list[tuple[int, ...]]:
    """Those that the window, with its padding, fits."""
    return [
        shape
        for shape in SHAPES
        if all(
            side + 2 * padding >= kernel
            for side, padding, kernel in zip(shape[2:], window.padding, window.kernel, strict=True)
        )
    ]


def like(map_: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return dense(torch.randn(map_.shape, generator=generator), map_.dtype)


def quarters(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Multiples of a quarter: full of ties and zeros."""
    generator = torch.Generator().manual_seed(7)
    return dense(torch.randn(shape, generator=generator).mul(4).round().div(4), dtype)


def reference(x: Tensor, window: Window) -> Tensor:
    return functional.max_pool2d(
        x, window.kernel, window.stride, window.padding, ceil_mode=window.ceil_mode
    )


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("closed", [False, True])
def test_a_maximum_and_its_way_back(
    kernels: Kernels, window: Window, dtype: torch.dtype, closed: bool
) -> None:
    for shape in shapes(window):
        check_maximum(kernels, shape, window, dtype, closed)


def check_maximum(
    kernels: Kernels, shape: tuple[int, ...], window: Window, dtype: torch.dtype, closed: bool
) -> None:
    x = quarters(shape, dtype)
    x = x.relu() if closed else x
    leaf = x.float().requires_grad_()
    expected = reference(leaf, window)
    g = like(expected.detach().to(dtype), 1)
    (back,) = torch.autograd.grad(expected, leaf, g.float())
    back = torch.where(x > 0, back, 0) if closed else back

    pooled, winners = kernels.max_pool(x, window, closed=closed)

    assert pooled.dtype == dtype
    assert torch.equal(pooled.float(), expected)
    assert winners.dtype == torch.uint8
    assert winners.is_contiguous(memory_format=torch.channels_last)
    if closed:
        assert torch.equal(winners == NOBODY, expected <= 0)
    size = (shape[2], shape[3])
    found = kernels.max_pool_backward(g.clone(), winners, window, size)
    assert found.dtype == dtype
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found.float(), back, rtol=2e-2, atol=TOLERANCE[dtype])
    add = like(x, 2)
    found = kernels.max_pool_backward(g, winners, window, size, add=add.clone())
    torch.testing.assert_close(
        found.float(), back + add.float(), rtol=2e-2, atol=2 * TOLERANCE[dtype]
    )


def test_the_winner_is_the_first_of_equals_and_says_where_it_stood(kernels: Kernels) -> None:
    x = dense(torch.zeros(1, 8, 4, 4))
    x[:, :, 1, 2] = x[:, :, 2, 1] = 5
    _, winners = kernels.max_pool(x, Window((3, 3), (1, 1), (0, 0)), closed=False)
    assert winners[0, 0].tolist() == [[5, 4], [2, 1]]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("window", [WINDOWS[0], WINDOWS[2], WINDOWS[9]])
def test_nan_and_infinity_go_through_a_maximum(
    kernels: Kernels, dtype: torch.dtype, window: Window
) -> None:
    x = quarters((1, 40, 9, 9), dtype)
    x[0, 3, 4, 4] = float("nan")
    x[0, 5, 2, 2] = -float("nan")
    x[0, 7] = -float("inf")
    x[0, 9, 8, 8] = float("inf")
    expected = reference(x, window)
    pooled, winners = kernels.max_pool(x, window, closed=False)
    torch.testing.assert_close(pooled, expected, equal_nan=True, rtol=0, atol=0)
    assert (winners < window.kernel[0] * window.kernel[1]).all()
    pooled, _ = kernels.max_pool(x.relu(), window, closed=True)
    torch.testing.assert_close(pooled, expected.relu(), equal_nan=True, rtol=0, atol=0)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("count_include_pad", [False, True])
def test_a_mean_and_its_way_back(
    kernels: Kernels, window: Window, dtype: torch.dtype, count_include_pad: bool
) -> None:
    for shape in shapes(window):
        check_mean(kernels, shape, window, dtype, count_include_pad)


def check_mean(
    kernels: Kernels,
    shape: tuple[int, ...],
    window: Window,
    dtype: torch.dtype,
    count_include_pad: bool,
) -> None:
    x = quarters(shape, dtype)
    leaf = x.float().requires_grad_()
    expected = functional.avg_pool2d(
        leaf, window.kernel, window.stride, window.padding, window.ceil_mode, count_include_pad
    )
    g = like(expected.detach().to(dtype), 1)
    (back,) = torch.autograd.grad(expected, leaf, g.float())

    pooled = kernels.avg_pool(x, window, count_include_pad=count_include_pad)
    found = kernels.avg_pool_backward(
        g, window, (shape[2], shape[3]), count_include_pad=count_include_pad
    )

    assert pooled.dtype == found.dtype == dtype
    for map_ in (pooled, found):
        assert map_.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(pooled.float(), expected, rtol=1e-2, atol=TOLERANCE[dtype] / 4)
    torch.testing.assert_close(found.float(), back, rtol=2e-2, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("back", TOLERANCE)
def test_energy_and_its_way_back(
    kernels: Kernels, window: Window, dtype: torch.dtype, back: torch.dtype
) -> None:
    for shape in shapes(window):
        x = quarters(shape, dtype)
        leaf = x.double().requires_grad_()
        settings = (window.kernel, window.stride, window.padding, window.ceil_mode, False)
        expected = (functional.avg_pool2d(leaf.square(), *settings) + 0.25).sqrt()
        g = like(expected.detach().to(back), 1)
        (gradient,) = torch.autograd.grad(expected, leaf, g.double())

        pooled = kernels.energy_pool(x, window, 0.25)
        found = kernels.energy_pool_backward(g, x, pooled, window)

        assert (pooled.dtype, found.dtype) == (dtype, back)
        for map_ in (pooled, found):
            assert map_.is_contiguous(memory_format=torch.channels_last)
        rough = max(TOLERANCE[dtype], TOLERANCE[back])
        torch.testing.assert_close(
            pooled.double(), expected, rtol=1e-2, atol=TOLERANCE[dtype] / 4, check_dtype=False
        )
        torch.testing.assert_close(found.double(), gradient, rtol=3e-2, atol=2 * rough)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_results_do_not_depend_on_the_number_of_threads(
    kernels: Kernels, dtype: torch.dtype
) -> None:
    x = like(quarters((2, 48, 41, 37), dtype), 3)
    window = Window((3, 3), (2, 2), (1, 1))

    def results() -> list[Tensor]:
        pooled, winners = kernels.max_pool(x, window, closed=False)
        mean = kernels.avg_pool(x, window, count_include_pad=False)
        size = (41, 37)
        return [
            pooled,
            kernels.max_pool_backward(pooled.clone(), winners, window, size),
            mean,
            kernels.avg_pool_backward(mean.clone(), window, size, count_include_pad=False),
            kernels.silu(x),
            (energy := kernels.energy_pool(x, window, 0.1)),
            kernels.energy_pool_backward(mean.clone(), x, energy, window),
            kernels.masked(x.clone(), kernels.positive(x)),
        ]

    alone = results()
    torch.set_num_threads(3)
    assert all(map(torch.equal, alone, results()))
