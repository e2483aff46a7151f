"""A dream towards a guide picture, as google/deepdream's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import reverie
from reverie.engine.guiding import guided
from reverie.engine.octaves import resize
from reverie.objectives import GUIDE, guide, layer
from reverie.objectives.guides import _best_match
from reverie.testing import check_objective

RECIPE = reverie.Recipe(objective="guide(eyes)", octaves=2, steps=4, precision="float32")


def by_hand(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The gradient of the notebook's objective_guide, position by position."""
    wanted = torch.zeros_like(x)
    vectors = y.flatten(2)[0]
    for row in range(x.shape[2]):
        for column in range(x.shape[3]):
            products = x[0, :, row, column] @ vectors
            wanted[0, :, row, column] = vectors[:, products.argmax()]
    return wanted


def test_the_gradient_is_the_guide_s_best_match() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 5, 4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    y = torch.randn(1, 5, 6, 2, generator=generator, dtype=torch.float64)
    value = guide("a").value({"a": x, GUIDE + "a": y})
    (gradient,) = torch.autograd.grad(value.sum(), x)
    assert torch.allclose(gradient * x.numel(), by_hand(x.detach(), y))
    assert torch.autograd.gradcheck(lambda x: guide("a").value({"a": x, GUIDE + "a": y}), x)


def test_many_positions_are_matched_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = torch.randn(2, 3, 8, 9), torch.randn(1, 3, 5, 5)
    whole = _best_match(x, y)
    monkeypatch.setattr("reverie.objectives.guides._PRODUCTS", 300)
    assert torch.equal(_best_match(x, y), whole)


def test_different_guides_give_different_dreams_and_the_same_the_same(
    picture: torch.Tensor,
) -> None:
    rng = np.random.default_rng(2)
    first, second = (rng.random((1, 3, 50, 60), np.float32) for _ in range(2))
    dreams = [
        reverie.dream(picture, RECIPE, guide=torch.from_numpy(one), device="cpu")
        for one in (first, second, first)
    ]
    assert torch.equal(dreams[0], dreams[2])
    assert not torch.equal(dreams[0], dreams[1])
    assert not torch.equal(dreams[0], picture)


def test_the_dream_comes_nearer_to_the_guide(picture: torch.Tensor) -> None:
    values: list[float] = []
    recipe = RECIPE.evolve(octaves=1, steps=6, jitter=0)
    flowers = torch.flip(picture, [3])
    reverie.dream(
        picture, recipe, guide=flowers, device="cpu", on_step=lambda s: values.append(s.value)
    )
    assert values[-1] > 1.1 * values[0]


def test_a_guide_may_be_of_any_kind_and_size(picture: torch.Tensor) -> None:
    levels = (resize(picture, (400, 500))[0].permute(1, 2, 0) * 255).round().byte().numpy()
    by_array = reverie.dream(picture, RECIPE, guide=levels, device="cpu")
    by_picture = reverie.dream(picture, RECIPE, guide=Image.fromarray(levels), device="cpu")
    assert torch.equal(by_array, by_picture)


def test_without_a_guide_the_sentence_says_how_to_give_one(picture: torch.Tensor) -> None:
    with pytest.raises(reverie.ObjectiveError, match=r"guide\(eyes\).*guide=picture.*--guide"):
        reverie.dream(picture, RECIPE, device="cpu")


def test_guides_combine_with_other_terms(picture: torch.Tensor) -> None:
    both = 2 * guide("eyes") - 0.5 * layer("rings")
    assert both.guides == {"eyes"}
    recipe = RECIPE.evolve(objective=both)
    assert recipe.objective == '2*guide("eyes") - 0.5*layer("rings")'
    dreamed = reverie.dream(picture, recipe, guide=picture, device="cpu")
    assert not torch.equal(dreamed, picture)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_tiles_see_the_same_guide(picture: torch.Tensor, precision: str) -> None:
    recipe = RECIPE.evolve(octaves=1, steps=1, jitter=0, precision=precision)
    large = resize(picture, (600, 640))
    whole = reverie.dream(large, recipe, guide=picture, device="cpu")
    tiled = reverie.dream(large, recipe, guide=picture, device="cpu", memory=90_000_000)
    assert (whole - tiled).abs().mean() < 0.1 * (whole - large).abs().mean()


@pytest.mark.parametrize(
    ("objective", "meant"),
    [
        ("eyes", 'guide("eyes")'),
        ("", 'guide("'),
        ("guide(eyes) - rings", "guide(eyes) - rings"),
        ("eyes - 9*total_variation(of=change)", 'guide("eyes") - 9*total_variation(of="change")'),
        ("eyes/2 - blur(1)", 'guide("eyes")/2 - blur(1'),
    ],
)
def test_a_layer_alone_means_its_guide(picture: torch.Tensor, objective: str, meant: str) -> None:
    recipe = RECIPE.evolve(objective=objective)
    assert guided(recipe).objective.startswith(meant)
    short, long = (
        reverie.dream(picture, one, guide=picture.flip(3), device="cpu")
        for one in (recipe, guided(recipe))
    )
    assert torch.equal(short, long)


@pytest.mark.parametrize("objective", ["mean(eyes)", "eyes + rings", "eyes - strongest(rings, 3)"])
def test_a_guide_that_nothing_looks_at_is_refused(picture: torch.Tensor, objective: str) -> None:
    with pytest.raises(reverie.ObjectiveError, match="does not look at the guide"):
        reverie.dream(picture, RECIPE.evolve(objective=objective), guide=picture, device="cpu")


def test_the_kit_for_authors_gives_a_guided_objective_its_guide() -> None:
    check_objective("guide(eyes) - 0.5*layer(rings)")
