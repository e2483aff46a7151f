from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from reverie import ImageError, ObjectiveError, Recipe, RecipeError, ReverieError, dream
from reverie.device import own_grad_mode
from reverie.engine.prepare import prepare
from reverie.engine.regions import merged, weights_of
from reverie.objectives import channel

if TYPE_CHECKING:
    from reverie.engine.prepare import Climb

RECIPE = Recipe(octaves=2, steps=2, precision="float32")
CPU = torch.device("cpu")
MEMORY = 80 * 10**6


def half(height: int = 71, width: int = 97) -> torch.Tensor:
    """1 on the left half, 0 on the right."""
    mask = torch.zeros(height, width)
    mask[:, : width // 2] = 1
    return mask


def climb_of(gradient: Any, **fields: Any) -> Climb:
    with own_grad_mode():
        return replace(prepare(RECIPE, CPU), gradient=gradient, reach=None, **fields)


def constant(number: float) -> Any:
    def gradient(image: torch.Tensor, _shift: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.full((len(image),), number), torch.full_like(image, number)

    return gradient


def test_weights_sum_to_one_and_overlaps_are_shared(picture: torch.Tensor) -> None:
    first, second = half(), torch.zeros(71, 97)
    second[:30] = 1
    second[30:40] = 0.5
    rest, one, two = weights_of([(first, "eyes"), (second, "rings")], picture)
    assert torch.allclose(rest + one + two, torch.ones(1, 1, 71, 97))
    assert (float(one[0, 0, 0, 0]), float(two[0, 0, 0, 0])) == (0.5, 0.5)
    assert float(one[0, 0, 35, 0]) == pytest.approx(1 / 1.5)
    assert (float(rest[0, 0, 35, 96]), float(rest[0, 0, 70, 96])) == (0.5, 1)
    assert float(rest[0, 0, 50, 0]) == 0


def test_each_region_is_divided_by_its_own_magnitude_inside_its_mask() -> None:
    """By hand: 4 px, weights 1, 0.5, 0, 0 and the rest; gradients 8, 2, ... and all -3."""
    image = torch.zeros(1, 3, 1, 4)
    found = torch.tensor([8.0, 2.0, 100.0, 100.0]).expand(1, 3, 1, 4).contiguous()
    weight = torch.tensor([1.0, 0.5, 0.0, 0.0]).view(1, 1, 1, 4)
    own = climb_of(constant(-3.0))
    other = climb_of(lambda image, _shift: (torch.ones(len(image)), found))
    values, gradient = merged([own, other], [1 - weight, weight])(image, (0, 0))
    scale = (8 * 1 + 2 * 0.5) / 1.5  # = 6
    expected = [8 / scale, 0.5 * 2 / scale - 0.5, -1, -1]
    assert gradient[0, 0, 0].tolist() == pytest.approx(expected)
    assert values.tolist() == [-2]


def test_pictures_of_a_batch_are_balanced_one_by_one() -> None:
    def found(image: torch.Tensor, _shift: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(2), torch.ones_like(image) * torch.tensor([1.0, 50.0]).view(2, 1, 1, 1)

    weight = half(4, 6)[None, None]
    gradient = merged([climb_of(constant(1.0)), climb_of(found)], [1 - weight, weight])
    _, merged_gradient = gradient(torch.zeros(2, 3, 4, 6), (0, 0))
    assert torch.allclose(merged_gradient, torch.ones(2, 3, 4, 6))


def test_a_region_of_everything_is_a_dream_of_its_objective(picture: torch.Tensor) -> None:
    recipe = RECIPE.evolve(octaves=1)
    regional = dream(picture, recipe, regions=[(torch.ones(71, 97), "rings")])
    alone = dream(picture, recipe.evolve(objective="rings"))
    assert torch.allclose(regional, alone, atol=2e-3)


def test_a_region_of_nothing_changes_nothing(picture: torch.Tensor) -> None:
    regional = dream(picture, RECIPE, regions=[(torch.zeros(71, 97), "rings")])
    assert torch.allclose(regional, dream(picture, RECIPE), atol=2e-3)


def test_each_objective_rises_most_in_its_own_region(picture: torch.Tensor) -> None:
    wide = torch.cat([picture, picture.flip(3)], dim=3)
    recipe = Recipe(objective="outlines", octaves=1, steps=6, precision="float32")
    left = half(71, 194)

    def seen(image: torch.Tensor, objective: str, side: slice) -> float:
        with own_grad_mode():
            climb = prepare(recipe.evolve(objective=objective), CPU)
            return float(climb.gradient(image[..., side].contiguous(), (0, 0))[0])

    dreamed = dream(wide, recipe, regions=[(left, "eyes"), (1 - left, "rings")])
    swapped = dream(wide, recipe, regions=[(left, "rings"), (1 - left, "eyes")])
    for side, wanted, other in (
        (slice(0, 90), "eyes", "rings"),
        (slice(104, 194), "rings", "eyes"),
    ):
        assert seen(dreamed, wanted, side) > seen(swapped, wanted, side)
        assert seen(swapped, other, side) > seen(dreamed, other, side)


def test_soft_masks_blend_and_the_dream_is_repeatable(picture: torch.Tensor) -> None:
    ramp = torch.linspace(0, 1, 97).expand(71, -1)
    regions: list[Any] = [(ramp, "rings"), (ramp.flip(0), channel("eyes", 3))]
    first = dream(picture, RECIPE, regions=regions)
    assert torch.equal(first, dream(picture, RECIPE, regions=regions))
    assert torch.isfinite(first).all()


def test_regions_live_with_a_mask_edges_and_small_pictures(picture: torch.Tensor) -> None:
    mask = torch.zeros(71, 97)
    mask[20:50, 30:60] = 1
    for edges in ("frame", "tile"):
        recipe = RECIPE.evolve(edges=edges)
        dreamed = dream(picture, recipe, mask=mask, regions=[(half(), "rings")])
        assert torch.equal(dreamed[..., mask == 0], picture[..., mask == 0])
        assert not torch.equal(dreamed, dream(picture, recipe, mask=mask))
    tiny = picture[..., :9, :11]
    assert dream(tiny, RECIPE, regions=[(half(9, 11), "rings")]).shape == tiny.shape


def test_a_large_picture_is_climbed_around_its_regions_in_tiles(picture: torch.Tensor) -> None:
    large = picture.repeat(1, 1, 9, 7)[..., :600, :640]
    recipe = RECIPE.evolve(octaves=1, steps=1, objective="rings")
    corner = torch.zeros(600, 640)
    corner[:64, :64] = 1
    regions = [(corner, "outlines")]
    whole = dream(large, recipe, regions=regions)
    with own_grad_mode():
        footprint = prepare(recipe, CPU).footprint
    tiled = dream(large, recipe, regions=regions, memory=MEMORY)
    assert MEMORY // footprint < 300 * 640
    assert float((whole - tiled).abs().mean()) < 1e-5


def test_what_a_region_sees_is_only_what_it_needs() -> None:
    sizes = []

    def watched(image: torch.Tensor, _shift: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        sizes.append(tuple(image.shape[2:]))
        return torch.zeros(len(image)), torch.ones_like(image)

    with own_grad_mode():
        climb = replace(prepare(RECIPE.evolve(jitter=0), CPU), gradient=watched, reach=8, stride=4)
    weight = torch.zeros(1, 1, 400, 500)
    weight[..., 100:110, 200:220] = 1
    merged([climb], [weight])(torch.zeros(1, 3, 400, 500), (0, 0))
    assert sizes == [(10 + 2 * 32, 20 + 2 * 32)]


@pytest.mark.parametrize(
    ("regions", "error", "words"),
    [
        (["eyes"], ObjectiveError, "pairs of a mask and an objective"),
        ([(half(), "no(such)")], ObjectiveError, "no objective 'no'"),
        ([(half(), "nosuch")], ReverieError, "nosuch"),
        ([(half(), 7)], RecipeError, "objective"),
        ([("mask.png", "eyes")], ImageError, "mask"),
        ([(half(), "guide(eyes)")], ObjectiveError, "looks at a guide"),
    ],
)
def test_what_is_no_region_is_said_in_a_sentence(
    picture: torch.Tensor, regions: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        dream(picture, RECIPE, regions=regions)


def test_a_region_may_look_at_the_guide_while_the_rest_does_not(picture: torch.Tensor) -> None:
    recipe = RECIPE.evolve(objective="channel(rings, 2)")
    regions = [(half(), "guide(eyes)")]
    dreamed = dream(picture, recipe, regions=regions, guide=picture.flip(2))
    assert not torch.equal(dreamed, dream(picture, recipe, regions=[(half(), "eyes")]))


def test_a_region_may_look_at_the_original_or_choose_channels() -> None:
    half = np.zeros((96, 96), np.float32)
    half[:, 48:] = 1
    picture = np.random.default_rng(1).random((96, 96, 3), np.float32)
    recipe = Recipe(objective="rings", octaves=2, steps=2, precision="float32")
    plain = dream(picture, recipe)
    for text in ("caricature(rings)", "strongest(rings, 3)", "rings - 1e5*l2_to_original()"):
        dreamed = dream(picture, recipe, regions=[(half, text)])
        assert np.isfinite(dreamed).all()
        assert np.abs(dreamed - plain)[:, 60:].mean() > 1e-4, text


def test_a_region_everywhere_is_the_objective_itself() -> None:
    picture = np.random.default_rng(1).random((96, 96, 3), np.float32)
    recipe = Recipe(objective="rings", octaves=2, steps=2, precision="float32")
    text = "caricature(rings)"
    found = dream(picture, recipe, regions=[(np.ones((96, 96), np.float32), text)])
    alone = dream(picture, recipe.evolve(objective=text))
    assert np.abs(found - alone).mean() < 1e-3


def test_a_region_s_objective_has_no_corrections() -> None:
    everywhere = np.ones((64, 64), np.float32)
    picture = np.full((64, 64, 3), 0.5, np.float32)
    with pytest.raises(ObjectiveError, match="has blur, which changes the whole picture"):
        dream(picture, Recipe(), regions=[(everywhere, "eyes - blur(1)")])
