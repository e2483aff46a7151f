"""What each space is, by numbers and gradients."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch

from reverie.engine.parameterization import BUILT_IN, FOURIER, MACO, PHASE
from reverie.engine.parameterization.colour import (
    COLOURS,
    SPECTRUM,
    frequencies,
    from_colour,
    natural_magnitude,
    to_colour,
)
from reverie.testing import check_parameterization

if TYPE_CHECKING:
    from reverie.types import Parameterization

spaces = pytest.mark.parametrize("space", BUILT_IN, ids=lambda space: space.name)
SIZES = [(7, 9), (8, 6), (5, 8)]


def small(size: tuple[int, int]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(2, 3, *size, generator=generator, dtype=torch.float64) * 0.8 + 0.1


@spaces
def test_each_keeps_the_contract(space: Parameterization) -> None:
    check_parameterization(space.name)


@spaces
@pytest.mark.parametrize("size", SIZES)
def test_decode_has_the_gradient_of_its_formula(
    space: Parameterization, size: tuple[int, int]
) -> None:
    latent = space.encode(small(size)).detach().requires_grad_()
    if space in {PHASE, MACO}:  # magnitudes have no gradient, on purpose
        phases, magnitude = latent.detach().unbind(-1)
        phases.requires_grad_()
        assert torch.autograd.gradcheck(
            lambda p: space.decode(torch.stack([p, magnitude], -1), size), (phases,)
        )
    else:
        assert torch.autograd.gradcheck(lambda z: space.decode(z, size), (latent,))


@spaces
@pytest.mark.parametrize("size", SIZES)
def test_what_was_encoded_is_decoded(space: Parameterization, size: tuple[int, int]) -> None:
    picture = small(size)
    again = space.decode(space.encode(picture), size)
    assert again.dtype is picture.dtype
    assert torch.allclose(again, picture, atol=1e-12) == space.is_exact
    # a picture of a space that holds only some is given back, too
    if not space.is_exact:
        assert torch.allclose(space.decode(space.encode(again), size), again, atol=0.02)


def test_decorrelated_colours_are_the_matrix_times_the_coordinates_and_grey_is_0() -> None:
    colour = to_colour(torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)).flatten()
    assert colour.tolist() == pytest.approx([0.5 + row[0] for row in COLOURS])
    assert from_colour(torch.full((1, 3, 2, 2), 0.5)).abs().max() == 0


def test_a_fourier_wave_is_as_large_as_the_formula_says() -> None:
    height, width = 8, 16
    latent = torch.zeros(1, 3, height, width // 2 + 1, 2, dtype=torch.float64)
    latent[0, 0, 0, 2, 0] = 1  # two waves across, a cosine
    picture = FOURIER.decode(latent, (height, width))
    across = torch.arange(width, dtype=torch.float64)
    wave = 2 / math.sqrt(height * width) * (width / 2) * torch.cos(2 * math.pi * 2 * across / width)
    for channel, row in enumerate(COLOURS):
        assert torch.allclose(picture[0, channel], 0.5 + row[0] * wave.expand(height, width))


def test_the_slowest_wave_weighs_as_much_as_one_across_the_picture() -> None:
    latent = torch.zeros(1, 3, 8, 9, 2, dtype=torch.float64)
    latent[0, 0, 0, 0, 0] = 1  # no wave at all
    flat = FOURIER.decode(latent, (8, 16))[0, 0, 0, 0] - 0.5
    assert float(flat) == pytest.approx(COLOURS[0][0] * 16 / math.sqrt(8 * 16))


def test_frequencies_are_in_cycles_per_pixel() -> None:
    found = frequencies((4, 6), torch.zeros(1, dtype=torch.float64))
    assert found[0].tolist() == pytest.approx([0, 1 / 6, 2 / 6, 3 / 6])
    assert found[:, 0].tolist() == pytest.approx([0, 1 / 4, 2 / 4, 1 / 4])


def test_natural_magnitudes_follow_the_law_and_a_larger_picture_only_adds_detail() -> None:
    like = torch.zeros(1, dtype=torch.float64)
    found = natural_magnitude((64, 64), like)
    assert found[0, 0, 8] == pytest.approx(64 * SPECTRUM[0][0] / 8 ** SPECTRUM[0][1])
    assert found[1, 3, 4] == pytest.approx(64 * SPECTRUM[1][0] / 5 ** SPECTRUM[1][1])
    assert found[:, 0, 0].tolist() == [0, 0, 0]
    larger = natural_magnitude((128, 128), like)  # as high a wave, of twice as many px a side
    assert torch.allclose(larger[:, :20, :20] / 128, found[:, :20, :20] / 64)


def test_phases_move_and_magnitudes_stay() -> None:
    latent = PHASE.encode(small((8, 10)))
    phases, magnitude = latent.unbind(-1)
    moved = torch.stack([phases + 0.3, magnitude], -1)
    waves = torch.fft.rfft2(from_colour(PHASE.decode(moved, (8, 10))), norm="ortho")
    inner = (..., slice(1, -1))  # the outer columns are their own mirror images
    assert torch.allclose(waves.abs()[inner], magnitude[inner])
    assert torch.allclose(waves.angle().cos()[inner], (phases + 0.3).cos()[inner])


def test_maco_takes_the_phases_of_a_picture_and_natural_magnitudes() -> None:
    picture = small((8, 10))
    latent = MACO.encode(picture)
    assert torch.equal(latent[..., 0], PHASE.encode(picture)[..., 0])
    assert torch.equal(latent[1, ..., 1], natural_magnitude((8, 10), picture))
