from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from reverie import Recipe, dream
from reverie.device import own_grad_mode
from reverie.engine import canvas, octaves
from reverie.engine.gradient import smooth, smoothing_reach
from reverie.engine.octaves import resize
from reverie.engine.prepare import prepare
from reverie.engine.wrapping import FRAME, Wraps, around, extend, fold, wraps_of

if TYPE_CHECKING:
    from reverie.engine.prepare import Climb

TILE = Wraps(down=True, across=True)
PANORAMA = Wraps(down=False, across=True)
CPU = torch.device("cpu")


def tiling(height: int, width: int, batch: int = 1) -> torch.Tensor:
    """Waves and noise that repeat without a seam, (batch, 3, height, width) in 0..1."""
    noise = torch.rand(batch, 3, 12, 12, generator=torch.Generator().manual_seed(3))
    return resize(noise, (height, width), wraps=TILE)


def climb_of(memory: int | None = None, **fields: Any) -> Climb:
    with own_grad_mode():
        return prepare(Recipe(precision="float32", **fields), CPU, memory)


def jump(picture: torch.Tensor, dim: int) -> float:
    """How much rougher a picture is across its edge than between all other rows or columns."""
    wrapped = torch.cat([picture, picture.narrow(dim, 0, 1)], dim=dim).diff(dim=dim).abs()
    last = wrapped.shape[dim] - 1
    return float(wrapped.narrow(dim, last, 1).mean() / wrapped.narrow(dim, 0, last).mean())


def test_folding_is_the_adjoint_of_extending() -> None:
    image = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    for wraps in (TILE, PANORAMA, FRAME):
        for halo in (0, 2, 9):
            seen = extend(image, halo, wraps).double()
            weights = torch.linspace(-1, 2, seen.numel(), dtype=torch.float64).sin()
            weights = weights.view_as(seen)
            left = (seen * weights).sum()
            right = (image.double() * fold(weights, halo, wraps)).sum()
            assert float(left) == pytest.approx(float(right))


def test_extending_goes_around_as_often_as_needed() -> None:
    row = torch.tensor([[[[0.0, 1.0, 2.0]]]])
    assert extend(row, 5, PANORAMA).flatten().tolist() == [1, 2, *[0, 1, 2] * 3, 0, 1]


@pytest.mark.parametrize("size", [(61, 90), (143, 40), (28, 200)])
@pytest.mark.parametrize("wraps", [TILE, PANORAMA])
def test_resampling_where_edges_meet_is_resampling_of_many_copies(
    size: tuple[int, int], wraps: Wraps
) -> None:
    image = torch.rand(1, 3, 56, 100, generator=torch.Generator().manual_seed(1))
    copies = image.repeat(1, 1, 3 if wraps.down else 1, 3)
    tall = size[0] * (3 if wraps.down else 1)
    expected = resize(copies, (tall, size[1] * 3))
    top = size[0] if wraps.down else 0
    expected = expected[:, :, top : top + size[0], size[1] : 2 * size[1]]
    assert torch.allclose(resize(image, size, wraps=wraps), expected, atol=1e-4)


def test_resampling_in_bands_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    image = tiling(70, 50)
    whole = resize(image, (120, 93), wraps=TILE)
    monkeypatch.setattr(octaves, "bands", lambda *pictures: canvas.bands(*pictures, most=700))
    assert torch.allclose(resize(image, (120, 93), wraps=TILE), whole, atol=1e-6)


def test_smoothing_goes_on_across_edges_that_meet() -> None:
    gradient = torch.randn(1, 3, 40, 50, generator=torch.Generator().manual_seed(0))
    moved = torch.roll(gradient, (11, 23), dims=(2, 3))
    reach = smoothing_reach(1.5)
    first = around(lambda g: smooth(g, 1.5), gradient.clone(), reach, TILE)
    second = around(lambda g: smooth(g, 1.5), moved, reach, TILE)
    assert torch.allclose(torch.roll(first, (11, 23), dims=(2, 3)), second, atol=1e-6)


@pytest.mark.parametrize("objective", ["eyes", "creatures", "eyes - 100 * total_variation()"])
@pytest.mark.parametrize("colour", ["free", "luminance"])
def test_the_gradient_moves_with_the_picture_by_multiples_of_the_stride(
    objective: str, colour: str
) -> None:
    climb = climb_of(objective=objective, edges="tile", colour=colour)
    assert 96 % climb.stride == 0
    picture = tiling(96, 64)
    _, gradient = climb.gradient(picture, (0, 0))
    by = (2 * climb.stride, -climb.stride)
    _, moved = climb.gradient(torch.roll(picture, by, dims=(2, 3)), (0, 0))
    difference = torch.roll(gradient, by, dims=(2, 3)) - moved
    assert float(difference.norm() / gradient.norm()) < 1e-5


def test_a_panorama_moves_with_the_picture_only_across() -> None:
    climb = climb_of(objective="eyes", edges="panorama")
    picture = tiling(64, 96)
    _, gradient = climb.gradient(picture, (0, 0))

    def apart(by: tuple[int, int]) -> float:
        _, moved = climb.gradient(torch.roll(picture, by, dims=(2, 3)), (0, 0))
        return float((torch.roll(gradient, by, dims=(2, 3)) - moved).norm() / gradient.norm())

    assert apart((0, 3 * climb.stride)) < 1e-5
    assert apart((3 * climb.stride, 0)) > 0.01


@pytest.mark.parametrize("edges", ["tile", "panorama"])
def test_the_gradient_is_that_of_the_middle_of_many_copies(edges: str) -> None:
    wraps = wraps_of(edges)
    picture = tiling(128, 64)
    _, gradient = climb_of(objective="eyes", edges=edges).gradient(picture, (0, 0))
    plain = climb_of(objective="eyes")
    beside, below = 2 * (plain.reach or 0) // 64 + 3, 5 if wraps.down else 1
    _, copies = plain.gradient(picture.repeat(1, 1, below, beside), (0, 0))
    top, left = below // 2 * 128, beside // 2 * 64
    middle = copies[:, :, top : top + 128, left : left + 64]
    scale = float(middle.norm() / gradient.norm())
    assert float((gradient * scale - middle).norm() / middle.norm()) < 1e-4


@pytest.mark.parametrize("shift", [(0, 0), (-77, 300)])
def test_tiles_of_a_picture_whose_edges_meet_are_its_whole(shift: tuple[int, int]) -> None:
    picture = tiling(400, 320)
    fields: dict[str, Any] = {"objective": "rings", "edges": "tile"}
    whole = climb_of(**fields)
    cut = climb_of(memory=260 * 260 * whole.footprint, **fields)
    value, expected = whole.gradient(picture, shift)
    cut_value, gradient = cut.gradient(picture, shift)
    assert float((gradient - expected).norm() / expected.norm()) < 1e-5
    assert float(cut_value) == pytest.approx(float(value), rel=0.1)


def test_an_objective_of_one_place_sees_across_the_edge_too() -> None:
    picture = tiling(64, 64)
    _, framed = climb_of(objective='neuron("eyes.0", 3)').gradient(picture, (0, 0))
    _, wrapped = climb_of(objective='neuron("eyes.0", 3)', edges="tile").gradient(picture, (0, 0))
    assert not torch.allclose(framed, wrapped)
    assert wrapped[:, :, 0].any()
    assert wrapped[:, :, -1].any()


@pytest.mark.parametrize(("edges", "dims"), [("tile", (2, 3)), ("panorama", (3,))])
def test_a_dream_on_what_repeats_has_no_seam(edges: Any, dims: tuple[int, ...]) -> None:
    recipe = Recipe(octaves=3, steps=4, step_size=3.0, smoothing=0.5, precision="float32")
    picture = tiling(110, 150)
    for dim in dims:
        assert jump(dream(picture, recipe.evolve(edges=edges)), dim) < 1.15
    assert max(jump(dream(picture, recipe), dim) for dim in dims) > 1.25


@pytest.mark.parametrize(("edges", "dims"), [("tile", (2, 3)), ("panorama", (3,))])
@pytest.mark.parametrize("crops", [0, 2])
def test_a_dream_that_is_turned_and_cropped_has_no_seam(
    edges: Any, dims: tuple[int, ...], crops: int
) -> None:
    views: dict[str, Any] = {"rotate": 20, "scale": 0.1, "flip": True, "crops": crops}
    recipe = Recipe(octaves=2, steps=6, step_size=3.0, smoothing=0.5, **views)
    picture = tiling(110, 150)
    for dim in dims:
        assert jump(dream(picture, recipe.evolve(edges=edges)), dim) < 1.25
        assert jump(dream(picture, recipe), dim) > 1.8


@pytest.mark.parametrize("edges", ["tile", "panorama"])
def test_pictures_too_small_for_the_network_dream_as_well(edges: Any) -> None:
    picture = tiling(9, 12)
    for rotate in (0, 30):
        recipe = Recipe(octaves=2, steps=2, edges=edges, precision="float32", rotate=rotate)
        dreamed = dream(picture, recipe)
        assert dreamed.shape == picture.shape
        assert not torch.equal(dreamed, picture)
        assert torch.equal(dreamed, dream(picture, recipe))


def test_a_mask_on_a_tile_keeps_every_bit_outside() -> None:
    mask = torch.zeros(64, 80)
    mask[:, :10] = 1
    picture = tiling(64, 80)
    dreamed = dream(picture, Recipe(octaves=2, steps=2, edges="tile"), mask=mask)
    assert torch.equal(dreamed[..., 10:], picture[..., 10:])
    assert not torch.equal(dreamed[..., :10], picture[..., :10])
