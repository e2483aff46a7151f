"""Masks, joins, SiLU and both ends against PyTorch's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from reverie.engine.kernels import Kernels, Padding

DTYPES = [torch.float32, torch.bfloat16]
SHAPES = [(1, 64, 9, 12), (2, 20, 7, 5), (1, 3, 2, 3), (1, 1, 1, 1), (3, 131, 3, 2), (1, 512, 1, 1)]


def random(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(shape, generator=generator).to(dtype)
    values.flatten()[::5] = 0
    values.flatten()[::7] = -0.0
    return values.contiguous(memory_format=torch.channels_last)


def copy(map_: Tensor) -> Tensor:
    return map_.clone(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("made_from", DTYPES)
@pytest.mark.parametrize("applied_to", DTYPES)
def test_a_mask_opens_where_its_map_is_positive(
    kernels: Kernels, shape: tuple[int, ...], made_from: torch.dtype, applied_to: torch.dtype
) -> None:
    y, g = random(shape, made_from), random(shape, applied_to, 1)
    g.flatten()[::11] = float("inf")
    g.flatten()[::13] = float("nan")
    found = kernels.masked(copy(g), kernels.positive(copy(y)))
    expected = torch.where(y > 0, g, torch.zeros((), dtype=applied_to))
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_relu_gives_its_mask(
    kernels: Kernels, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    x, g = random(shape, dtype), random(shape, dtype, 1)
    opened, mask = kernels.relu_positive(copy(x))
    assert torch.equal(opened, x.relu())
    assert torch.equal(kernels.masked(copy(g), mask), torch.where(x > 0, g, g.new_zeros(())))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_relu_keeps_nan_and_infinity(kernels: Kernels, dtype: torch.dtype) -> None:
    x = random((1, 37, 2, 2), dtype)
    x[0, :4, 0, 0] = torch.tensor([float("nan"), -float("nan"), float("inf"), -float("inf")])
    opened, _ = kernels.relu_positive(copy(x))
    torch.testing.assert_close(opened, x.relu(), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("sizes", [[64, 128, 32, 32], [3, 17, 1, 44], [5]])
@pytest.mark.parametrize("dtype", DTYPES)
def test_parts_are_joined_and_cut_again(
    kernels: Kernels, sizes: list[int], dtype: torch.dtype
) -> None:
    parts = [random((2, size, 5, 6), dtype, seed) for seed, size in enumerate(sizes)]
    joined, mask = kernels.concat([copy(part) for part in parts], want_mask=True)
    assert torch.equal(joined, torch.cat(parts, 1))
    assert joined.is_contiguous(memory_format=torch.channels_last)
    for g in (random(tuple(joined.shape), other, 9) for other in DTYPES):
        masked = torch.where(joined > 0, g, g.new_zeros(()))
        for how, expected in ((mask, masked), (None, g)):
            found = kernels.split(copy(g), how, sizes)
            assert [part.shape[1] for part in found] == sizes
            assert torch.equal(torch.cat(found, 1), expected)
            assert all(part.is_contiguous(memory_format=torch.channels_last) for part in found)
    assert kernels.concat([copy(part) for part in parts], want_mask=False)[1] is None


@pytest.mark.parametrize("dtype", DTYPES)
def test_silu_is_as_exact_as_pytorchs(kernels: Kernels, dtype: torch.dtype) -> None:
    extremes = torch.tensor([0.0, -0.0, 1e-30, -1e-30, 88.0, -88.0, 1e4, -1e4, 1e38, -1e38])
    x = torch.cat([torch.linspace(-30, 30, 20000), extremes]).view(1, 30, 23, 29)
    x = x.to(dtype).contiguous(memory_format=torch.channels_last)
    exact = functional.silu(x.double())
    found = kernels.silu(x)
    # float32: two units in the last place, 2.4e-7 relative, where the result is not nearly 0.
    relative, absolute = (3e-7, 1e-32) if dtype is torch.float32 else (4e-3, 1e-30)
    torch.testing.assert_close(found.double(), exact, rtol=relative, atol=absolute)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("back", DTYPES)
def test_the_slope_of_silu(kernels: Kernels, dtype: torch.dtype, back: torch.dtype) -> None:
    x = random((2, 33, 6, 7), dtype).mul_(5)
    g = random((2, 33, 6, 7), back, 1)
    leaf = x.double().requires_grad_()
    (exact,) = torch.autograd.grad(functional.silu(leaf), leaf, g.double())
    found = kernels.silu_backward(copy(g), x)
    assert found.dtype == back
    is_exact = dtype is back is torch.float32
    tolerance = (1e-6, 1e-6) if is_exact else (1e-2, 3e-2)
    torch.testing.assert_close(found.double(), exact, rtol=tolerance[0], atol=tolerance[1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_silu_adds_what_a_residual_connection_brings(kernels: Kernels, dtype: torch.dtype) -> None:
    x, other = (random((2, 33, 6, 7), dtype, seed) for seed in (0, 1))
    before = copy(other)
    found = kernels.silu(x, other)
    exact = functional.silu(x.double()) + other.double()
    tolerance = 1e-6 if dtype is torch.float32 else 2e-2
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=tolerance)
    assert torch.equal(other, before)


def test_a_gradient_that_is_to_be_kept_is_kept(kernels: Kernels) -> None:
    x, g = (random((2, 33, 6, 7), torch.float32, seed) for seed in (0, 1))
    before = copy(g)
    found = kernels.silu_backward(g, x, keep=True)
    assert torch.equal(g, before)
    assert torch.equal(found, kernels.silu_backward(g, x))


def test_silu_of_nan_and_infinity(kernels: Kernels) -> None:
    values = torch.tensor([float("nan"), float("inf"), 1.0]).view(1, 3, 1, 1)
    found = kernels.silu(values.contiguous(memory_format=torch.channels_last)).flatten()
    assert found.isnan().tolist() == [True, False, False]
    assert found[1] == float("inf")


PADDINGS: list[tuple[tuple[int, int], Padding, bool]] = [
    ((16, 17), (4, 2, 4, 3), True),
    ((7, 9), (1, 2, 2, 3), True),
    ((8, 10), (0, -2, 0, -4), True),
    ((8, 8), (0, 0, 0, 0), False),
    ((9, 11), (1, 2, 3, 0), False),
    ((5, 4), (-1, 0, -2, 1), False),
]


@pytest.mark.parametrize(("size", "padding", "unshuffle"), PADDINGS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shift", [(0, 0), (3, -5), (-30, 200)])
def test_a_picture_goes_in_and_its_gradient_comes_out(
    kernels: Kernels,
    size: tuple[int, int],
    padding: Padding,
    unshuffle: bool,
    dtype: torch.dtype,
    shift: tuple[int, int],
) -> None:
    generator = torch.Generator().manual_seed(3)
    image = torch.rand((2, 3, *size), generator=generator)
    mean = (0.4, 0.5, 0.6)
    top, bottom, left, right = padding

    def network_input(picture: Tensor) -> Tensor:
        centred = torch.roll(picture, shift, (2, 3)) - torch.tensor(mean).view(1, 3, 1, 1)
        padded = functional.pad(centred, (left, right, top, bottom))
        return functional.pixel_unshuffle(padded, 2) if unshuffle else padded

    leaf = image.clone().requires_grad_()
    expected = network_input(leaf)
    found = kernels.ingest(image, shift, mean, padding, unshuffle, dtype)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, expected.detach().to(dtype))

    g = torch.randn(expected.shape, generator=generator).to(dtype)
    g = g.contiguous(memory_format=torch.channels_last)
    (back,) = torch.autograd.grad(expected, leaf, g.float())
    out = kernels.egest(g, size, shift, padding, unshuffle)
    assert out.is_contiguous()
    assert out.dtype == torch.float32
    assert torch.equal(out, back)


def test_the_kernels_run_in_inference_mode(kernels: Kernels) -> None:
    with torch.inference_mode():
        x = random((1, 24, 4, 4), torch.float32)
        found = kernels.masked(copy(x), kernels.positive(x))
    assert torch.equal(found, x.relu())
