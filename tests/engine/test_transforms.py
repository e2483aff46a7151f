"""Views: what they show, that the gradient through them is the true one, and dreams with them."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from reverie import Recipe, RecipeError, ReverieError, dream
from reverie.engine import canvas, tiles, transforms
from reverie.engine.gradient import image_gradient
from reverie.engine.prepare import prepare
from reverie.engine.transforms import View, Views, _spread_in_order, is_transformed, transformed
from reverie.engine.wrapping import FRAME, Wraps, extend
from reverie.networks.loading import load_network
from reverie.objectives import layer

STRAIGHT = ((1.0, 0.0), (0.0, 1.0))
ALL = Recipe(rotate=30, scale=0.2, flip=True, crops=3)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def turned(degrees: float, zoom: float = 1.0) -> tuple[tuple[float, float], tuple[float, float]]:
    cos, sin = (f(math.radians(degrees)) / zoom for f in (math.cos, math.sin))
    return (cos, -sin), (sin, cos)


def test_a_straight_view_is_the_picture() -> None:
    picture = noise(2, 3, 7, 10)
    view = View((7, 10), STRAIGHT, (3.5, 5.0))
    assert torch.allclose(view.see(picture), picture, atol=1e-12)


def test_a_quarter_turn_and_a_mirror_are_exact() -> None:
    picture = noise(1, 3, 8, 6)
    quarter = View((6, 8), turned(90), (4, 3))
    assert torch.allclose(quarter.see(picture), torch.rot90(picture, -1, (2, 3)), atol=1e-9)
    mirror = View((8, 6), ((1, 0), (0, -1)), (4, 3))
    assert torch.allclose(mirror.see(picture), picture.flip(3), atol=1e-12)


def test_outside_is_the_picture_reflected_or_grey() -> None:
    picture = torch.tensor([[[[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]]], dtype=torch.float64)
    reflected = View((2, 7), STRAIGHT, (1, 1.5)).see(picture)
    assert torch.allclose(
        reflected[0, 0, 0], torch.tensor([0.2, 0.1, 0.1, 0.2, 0.3, 0.3, 0.2], dtype=torch.float64)
    )
    padded = View((2, 7), STRAIGHT, (1, 1.5), is_padded=True).see(picture)
    expected = torch.tensor([0.5, 0.5, 0.1, 0.2, 0.3, 0.5, 0.5], dtype=torch.float64)
    assert torch.allclose(padded[0, 0, 0], expected)


def test_a_zoom_enlarges_around_the_middle() -> None:
    ramp = torch.arange(8, dtype=torch.float64).expand(1, 1, 4, 8)
    seen = View((4, 8), turned(0, zoom=2), (2, 4)).see(ramp)
    expected = 3.5 + (torch.arange(8, dtype=torch.float64) - 3.5) / 2
    assert torch.allclose(seen[0, 0, 0], expected)


VIEWS = [
    View((9, 13), turned(20, 1.1), (4.5, 6.5)),
    View((15, 19), turned(-7, 0.6), (4.5, 6.5), is_padded=True),
    View((5, 6), ((0.9, 0.2), (0.3, -1.1)), (1.0, 12.0)),
    View((4, 4), STRAIGHT, (-40.0, 60.0), is_padded=True),  # sees nothing of the picture
    View((9, 13), turned(35, 1.1), (1.0, 12.0), wraps=Wraps(True, True)),
    View((25, 31), turned(100, 0.4), (4.0, 3.5), wraps=Wraps(True, True)),  # goes around often
    View((9, 13), turned(-20, 0.8), (4.5, 40.0), wraps=Wraps(across=True)),
]


@pytest.mark.parametrize("view", VIEWS)
def test_back_is_the_adjoint_of_see(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transforms, "_BLOCK", 4)
    picture, seen = noise(2, 3, 9, 13), noise(2, 3, *view.size, seed=1)
    nothing = view.see(torch.zeros_like(picture))
    forth = float(((view.see(picture) - nothing) * seen).sum())
    back = float((view.back(seen, (9, 13)) * picture).sum())
    assert forth == pytest.approx(back, rel=1e-6, abs=1e-6)  # what is seen is kept in float32


@pytest.mark.parametrize("view", VIEWS)
def test_blocks_show_what_the_whole_shows(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    picture, seen = noise(1, 3, 9, 13), noise(1, 3, *view.size, seed=1)
    whole = view.see(picture), view.back(seen, (9, 13))
    monkeypatch.setattr(transforms, "_BLOCK", 3)
    for one, other in zip(whole, (view.see(picture), view.back(seen, (9, 13))), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("outside", ["zeros", "border"])
def test_the_order_that_gpus_keep_adds_up_to_the_same(outside: str) -> None:
    generator = torch.Generator().manual_seed(3)
    grid = (torch.rand((1, 7, 5, 2), generator=generator, dtype=torch.float64) * 2.6 - 1.3).expand(
        2, -1, -1, -1
    )
    gradient = noise(2, 3, 7, 5)
    expected = transforms._spread(gradient, grid, (2, 3, 6, 8), outside)
    found = _spread_in_order(gradient, grid, (2, 3, 6, 8), outside)
    assert torch.allclose(found, expected, atol=1e-12)


def test_views_come_from_the_seed_and_stay_within_the_recipe() -> None:
    recipe = ALL.evolve(crops=0)
    first, again = (Views(recipe, 1).draw((40, 60)) for _ in range(2))
    assert first == again
    assert first != Views(recipe.evolve(seed=1), 1).draw((40, 60))
    views = Views(recipe, 1)
    drawn = [views.draw((40, 60))[0] for _ in range(200)]
    zooms = [1 / math.hypot(view.matrix[0][0], view.matrix[1][0]) for view in drawn]
    angles = [math.degrees(math.atan2(view.matrix[1][0], view.matrix[0][0])) for view in drawn]
    mirrored = [view.matrix[0][0] * view.matrix[1][1] < 0 for view in drawn]
    assert 0.8 <= min(zooms) < 0.82
    assert 1.18 < max(zooms) <= 1.2
    assert -30 <= min(angles) < -28
    assert 28 < max(angles) <= 30
    assert 70 < sum(mirrored) < 130
    assert {view.size for view in drawn} == {(40, 60)}


def test_another_transform_leaves_the_others_as_they_were() -> None:
    alone = Views(Recipe(rotate=30), 1).draw((40, 60))[0].matrix
    assert Views(Recipe(rotate=30, pad=5), 1).draw((40, 60))[0].matrix == alone


def test_crops_see_every_pixel_as_often() -> None:
    views = Views(Recipe(crops=32), 1)
    seen = torch.zeros(1, 1, 11, 16)
    for _ in range(400):
        for view in views.draw((11, 16)):
            assert view.size == (7, 9)
            seen += view.back(torch.ones(1, 1, 7, 9), (11, 16))
    assert float(seen.min() / seen.mean()) > 0.9
    assert float(seen.max() / seen.mean()) < 1.1


def test_crops_are_no_smaller_than_the_network_needs() -> None:
    assert Views(Recipe(crops=1), 48).draw((60, 200))[0].size == (49, 101)


@pytest.mark.parametrize("change", [{"rotate": 25}, {"pad": 9, "scale": 0.2}, {"crops": 3}])
def test_the_gradient_is_the_slope_of_what_is_climbed(change: dict[str, float]) -> None:
    """Against autograd's own, through grid_sample, in float64, with the same views."""

    def squares(image: torch.Tensor, shift: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        rolled = torch.roll(image, shift, (2, 3))
        weights = torch.linspace(0, 1, rolled[0].numel(), dtype=image.dtype).view(rolled.shape[1:])
        found = torch.roll(2 * rolled * weights, (-shift[0], -shift[1]), (2, 3))
        return (rolled.square() * weights).sum(dim=(1, 2, 3)), found

    recipe, picture = Recipe().evolve(**change), noise(1, 3, 12, 15)

    def value(image: torch.Tensor) -> float:
        return float(transformed(squares, recipe, 1)(image, (1, 2))[0])

    direction = noise(1, 3, 12, 15, seed=5) - 0.5
    step = 1e-3
    slope = (value(picture + step * direction) - value(picture - step * direction)) / (2 * step)
    _, gradient = transformed(squares, recipe, 1)(picture, (1, 2))
    assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-3)


def test_it_is_the_tape_free_gradient_of_a_network_through_the_view(picture: torch.Tensor) -> None:
    recipe = Recipe(objective="eyes", rotate=20, scale=0.1, precision="float32")
    values, found = prepare(recipe, torch.device("cpu")).gradient(picture, (3, 4))
    (view,) = Views(recipe, 1).draw((71, 97))
    objective = layer("eyes")
    network = load_network("embedded").prepare(objective.layers, torch.device("cpu"), torch.float32)
    expected, seen = image_gradient(network, objective, view.see(picture), (3, 4))
    expected_gradient = view.back(seen, (71, 97))
    assert torch.allclose(values, expected, rtol=1e-4)
    cosine = torch.nn.functional.cosine_similarity(
        found.flatten(), expected_gradient.flatten(), dim=0
    )
    assert float(cosine) > 0.9999


def test_without_a_transform_nothing_is_wrapped() -> None:
    network = load_network("embedded").prepare(["eyes"], torch.device("cpu"), torch.float32)
    gradient = partial(image_gradient, network, layer("eyes"))
    assert not is_transformed(Recipe())
    assert transformed(gradient, Recipe(), 1) is gradient


QUICK = Recipe(octaves=2, steps=2, precision="float32", rotate=15, scale=0.1, flip=True, pad=6)


@pytest.mark.parametrize("change", [{}, {"pad": 0, "crops": 2}])
def test_dreams_repeat_rise_and_differ_by_seed(
    picture: torch.Tensor, change: dict[str, int]
) -> None:
    recipe = QUICK.evolve(**change)
    dreamed = dream(picture, recipe)
    assert torch.equal(dreamed, dream(picture, recipe))
    assert not torch.equal(dreamed, dream(picture, recipe.evolve(seed=1)))
    values: list[float] = []
    dream(picture, recipe.evolve(octaves=1, steps=8), on_step=lambda s: values.append(s.value))
    assert sum(values[-3:]) > 1.1 * sum(values[:3])


def test_outside_a_mask_every_bit_stays(picture: torch.Tensor) -> None:
    mask = torch.zeros(71, 97)
    mask[20:50, 30:60] = 1
    change = (dream(picture, QUICK, mask=mask) - picture).abs().amax(dim=1)[0]
    assert float(change[mask == 0].max()) == 0
    assert float(change[mask == 1].min()) > 0


def test_pictures_of_a_batch_are_seen_through_the_same_views(picture: torch.Tensor) -> None:
    recipe = QUICK.evolve(octaves=1, steps=1)
    together = dream(torch.cat([picture, picture.flip(2)]), recipe)
    alone = torch.cat([dream(picture, recipe), dream(picture.flip(2), recipe)])
    assert float((together - alone).abs().median()) < 1 / 255


def test_tiles_of_what_is_seen_give_the_gradient_of_the_whole(
    picture: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = picture.repeat(1, 1, 5, 5)
    recipe = Recipe(objective="outlines", rotate=15, scale=0.1, precision="float32")
    cpu = torch.device("cpu")
    _, whole = prepare(recipe, cpu).gradient(large, (5, 6))
    monkeypatch.setattr(tiles, "_LEAST", 32)
    _, tiled = prepare(recipe, cpu, memory=30_000_000).gradient(large, (5, 6))
    cosine = torch.nn.functional.cosine_similarity(whole.flatten(), tiled.flatten(), dim=0)
    assert float(cosine) > 0.9999


def test_what_is_seen_of_a_picture_in_a_file_is_in_a_file(
    picture: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canvas, "SMALL", 1000)
    kept = canvas.empty(picture.shape, picture, in_file=True).copy_(picture)
    view = View((71, 97), turned(20), (35.5, 48.5))
    seen = view.see(kept)
    back = view.back(seen, (71, 97))
    assert canvas.lives_in_file(seen)
    assert canvas.lives_in_file(back)
    assert torch.equal(seen, view.see(picture))
    assert torch.equal(back, view.back(view.see(picture), (71, 97)))


def test_memory_for_views_and_bands_is_counted(picture: torch.Tensor) -> None:
    """One picture is 3 values of 4 bytes for each of its pixels."""
    one, cpu = 12 * 71 * 97, torch.device("cpu")

    def needed(recipe: Recipe) -> int:
        return prepare(recipe, cpu).least_memory(tuple(picture.shape), in_file=False)

    plain = needed(Recipe())
    assert needed(Recipe(rotate=5)) == plain + 3 * one
    assert needed(Recipe(laplacian=4)) == plain + one
    assert needed(Recipe(start="grey")) == plain + 2 * one
    with pytest.raises(ReverieError, match="too little"):
        dream(picture, Recipe(rotate=5), memory=plain)


def test_what_an_objective_compares_with_is_seen_through_the_same_view(
    picture: torch.Tensor,
) -> None:
    recipe = Recipe(
        objective="-1*l2_to_original() + 0*layer(eyes)", rotate=40, octaves=1, steps=1, jitter=0
    )
    values: list[float] = []
    dream(picture, recipe, on_step=lambda step: values.append(step.value))
    assert values == [0]


@pytest.mark.parametrize("wraps", [Wraps(True, True), Wraps(across=True)])
def test_where_edges_meet_a_view_is_that_of_many_copies(wraps: Wraps) -> None:
    picture, halo = noise(1, 3, 9, 13), 40
    many = extend(picture, halo, wraps)
    view = View((9, 13), turned(35, 0.7), (2.0, 11.0), wraps=wraps)
    there = replace(view, middle=(2.0 + halo * wraps.down, 11.0 + halo), wraps=FRAME)
    assert torch.allclose(view.see(picture), there.see(many).double(), atol=1e-5)


def test_where_edges_meet_views_lie_anywhere() -> None:
    views = Views(Recipe(rotate=10, edges="panorama"), 1)
    middles = [views.draw((40, 60))[0].middle for _ in range(300)]
    assert {down for down, _ in middles} == {20.0}
    assert {across for _, across in middles} == set(range(60))


def test_a_border_where_edges_meet_is_refused_in_a_sentence(picture: torch.Tensor) -> None:
    with pytest.raises(RecipeError, match=r"pad: 6 does not go together with edges 'tile'"):
        dream(picture, QUICK.evolve(edges="tile", pad=6))


def test_transforms_work_for_any_shape() -> None:
    for size in ((1, 1), (5, 200), (33, 7)):
        array = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        assert dream(array, ALL.evolve(octaves=1, steps=1, rotate=180)).shape == array.shape
