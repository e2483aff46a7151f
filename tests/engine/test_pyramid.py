"""Laplacian pyramid normalisation against the notebook's own formulas, in bands, and in dreams."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from reverie import Recipe, dream
from reverie.engine import canvas
from reverie.engine.parameterization import PIXELS
from reverie.engine.prepare import kept_by
from reverie.engine.pyramid import lapnorm, lapnorm_reach


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def in_bands_of(pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas.bands, "__kwdefaults__", {"most": pixels})


def of_the_notebook(image: torch.Tensor, levels: int) -> torch.Tensor:
    """lap_normalize as TensorFlow's notebook writes it, with black edges."""
    row = torch.tensor([1.0, 4, 6, 4, 1], dtype=image.dtype)
    kernel = (torch.outer(row, row) / 256).expand(3, 1, 5, 5)

    def doubled(coarse: torch.Tensor, size: torch.Size) -> torch.Tensor:
        larger = functional.conv_transpose2d(coarse, kernel * 4, stride=2, padding=2, groups=3)
        missing = (0, size[3] - larger.shape[3], 0, size[2] - larger.shape[2])
        return functional.pad(larger, missing)

    found = []
    for _ in range(levels):
        coarse = functional.conv2d(image, kernel, stride=2, padding=2, groups=3)
        found.append(image - doubled(coarse, image.shape))
        image = coarse
    found = [band / band.square().mean().sqrt() for band in [*found, image]]
    image = found.pop()
    while found:
        image = doubled(image, found[-1].shape) + found.pop()
    return image


def test_inside_it_is_the_notebook_s_normalisation() -> None:
    """Edges differ: the notebook's are black. A gradient that is 0 there has none."""
    gradient = torch.zeros(1, 3, 256, 192, dtype=torch.float64)
    gradient[:, :, 100:156, 70:122] = noise(1, 3, 56, 52)
    expected = of_the_notebook(gradient, 2)[:, :, :-2, :-2]
    assert torch.allclose(lapnorm(gradient.clone(), 2)[:, :, :-2, :-2], expected, atol=1e-4)


def test_a_checkerboard_is_one_fine_band_and_becomes_as_long_as_one() -> None:
    rows, columns = torch.arange(64)[:, None], torch.arange(64)[None]
    board = ((rows + columns) % 2 * 2 - 1).double().expand(1, 3, 64, 64).clone() * 7e-4
    # The kernel takes a checkerboard away: 1 - 4 + 6 - 4 + 1 = 0 in each row.
    inside = (slice(None), slice(None), slice(8, -8), slice(8, -8))
    found = lapnorm(board.clone(), 1)[inside]
    magnitude = float(found.abs().mean())
    assert magnitude == pytest.approx(1, rel=0.1)
    assert torch.allclose(found, board.sign()[inside] * magnitude, atol=0.1)


def test_coarse_shapes_become_as_strong_as_fine_grain() -> None:
    grain = noise(1, 3, 128, 128)
    wave = torch.sin(torch.arange(128) * 2 * torch.pi / 64).double().expand(1, 3, 128, 128)
    gradient = grain + 0.05 * wave

    def share(of: torch.Tensor) -> float:
        return float((of * wave).mean() / of.square().mean().sqrt())

    assert share(lapnorm(gradient.clone(), 4)) > 5 * share(gradient)


def test_a_gradient_s_size_does_not_matter_nor_do_its_neighbours_in_a_batch() -> None:
    alone = lapnorm(noise(1, 3, 40, 50), 3)
    batch = torch.cat([noise(1, 3, 40, 50) * 1e-9, noise(1, 3, 40, 50, seed=1) * 1e5])
    assert torch.allclose(lapnorm(batch, 3)[:1], alone, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (5, 4), (33, 70)])
@pytest.mark.parametrize("levels", [1, 8])
def test_pictures_of_any_size_have_as_many_bands_as_they_can(
    size: tuple[int, int], levels: int
) -> None:
    found = lapnorm(noise(2, 3, *size), levels)
    assert found.shape == (2, 3, *size)
    assert torch.isfinite(found).all()
    assert 0.5 < float(found.square().mean().sqrt()) < 4


def test_rounding_is_not_made_a_band() -> None:
    flat = torch.full((1, 3, 64, 64), 0.3)
    assert torch.allclose(lapnorm(flat.clone(), 4), torch.ones(1, 3, 64, 64), atol=0.5)
    assert torch.equal(lapnorm(torch.zeros(1, 3, 9, 9), 4), torch.zeros(1, 3, 9, 9))


@pytest.mark.parametrize("pixels", [50, 350, 50 * 33])
def test_bands_are_normalised_as_the_whole(pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = lapnorm(noise(2, 3, 67, 50), 4)
    in_bands_of(pixels, monkeypatch)
    assert torch.allclose(lapnorm(noise(2, 3, 67, 50), 4), whole, atol=1e-4)


def test_no_levels_change_nothing() -> None:
    gradient = noise(1, 3, 20, 20)
    assert torch.equal(lapnorm(gradient.clone(), 0), gradient)


def test_what_lies_farther_than_its_reach_only_counts_in_the_magnitudes() -> None:
    one, other = noise(1, 3, 64, 80), noise(1, 3, 64, 80)
    other[:, :, :, 40 + lapnorm_reach(3) :] *= -1  # as long, in every band but at the seam
    one, other = (lapnorm(each, 3)[:, :, :, :40] for each in (one, other))
    cosine = functional.cosine_similarity(one.flatten(), other.flatten(), dim=0)
    assert float(cosine) > 0.9999


LAPNORM = Recipe(octaves=2, steps=2, precision="float32", laplacian=3)


def test_a_dream_with_it_is_smoother_and_as_strong(picture: torch.Tensor) -> None:
    def change(recipe: Recipe) -> torch.Tensor:
        dreamed: torch.Tensor = dream(picture, recipe)
        return dreamed - picture

    plain, normalised = change(LAPNORM.evolve(laplacian=0)), change(LAPNORM)
    assert float(normalised.abs().mean()) == pytest.approx(float(plain.abs().mean()), rel=0.35)

    def roughness(of: torch.Tensor) -> float:
        return float(of.diff(dim=3).abs().mean() / of.abs().mean())

    assert roughness(normalised) < 0.8 * roughness(plain)


def test_one_step_still_moves_by_the_step_size(picture: torch.Tensor) -> None:
    recipe = LAPNORM.evolve(octaves=1, steps=1, step_size=2.0, clip=False)
    moved = dream(picture, recipe)
    assert float((moved - picture).abs().mean()) * 255 == pytest.approx(2.0, rel=0.01)


def test_a_seamless_tile_stays_one() -> None:
    rows, columns = torch.arange(64)[:, None] / 64, torch.arange(96)[None] / 96
    waves = torch.sin(6.2832 * (rows * 2 + columns)) * 0.3 + 0.5
    tile = waves.expand(1, 3, 64, 96).clone()
    recipe = LAPNORM.evolve(octaves=1, edges="tile", jitter=0, objective="outlines", clip=False)
    rolled = dream(tile.roll((16, 48), (2, 3)), recipe).roll((-16, -48), (2, 3))
    dreamed = dream(tile, recipe)
    cosine = functional.cosine_similarity((rolled - tile).flatten(), (dreamed - tile).flatten(), 0)
    assert float(cosine) > 0.98


def test_a_halo_around_edges_that_meet_counts_in_the_memory_that_is_needed() -> None:
    def kept(**fields: Any) -> int:
        shape = (1, 3, 512, 512)
        return kept_by(Recipe(**fields), PIXELS, shape, in_file=False)

    picture = 3 * 512 * 512 * 4
    assert kept(laplacian=4) - kept() == picture
    halo = (512 + 2 * lapnorm_reach(4)) / 512
    tile = kept(laplacian=4, edges="tile") - kept(edges="tile")
    assert tile == pytest.approx(2 * picture * halo**2)
    panorama = kept(laplacian=4, edges="panorama") - kept(edges="panorama")
    assert panorama == pytest.approx(2 * picture * halo)
