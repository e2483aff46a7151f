"""Regularizers that change the picture after a step (Yosinski et al. 2015)."""

from __future__ import annotations

import pytest
import torch

from reverie import ObjectiveError, Recipe, dream
from reverie.engine import correcting
from reverie.engine.correcting import AfterStep, checked
from reverie.engine.gradient import _blur
from reverie.engine.walk import Walk
from reverie.grammar import parse_objective
from reverie.objectives import Correction, blur, clip_small_norm, layer
from reverie.plugins import registry
from reverie.types import Parameterization

QUICK = Recipe(octaves=2, steps=4, precision="float32", jitter=0)
BLUR = Correction("blur", 1.5)


def norm(percent: float) -> Correction:
    return Correction("clip_small_norm", percent)


def corrected(
    picture: torch.Tensor,
    *corrections: Correction,
    step: int = 1,
    gradient: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    given = torch.zeros_like(picture) if gradient is None else gradient
    after = AfterStep(corrections, step, given, mask)
    changed = picture.clone()
    assert after.correct(changed) == any(step % each.every == 0 for each in corrections)
    return changed


@pytest.fixture
def row() -> torch.Tensor:
    """Ten pixels whose norm is 0, 0.1 ... 0.9 times the root of 3, (1, 3, 1, 10)."""
    return (0.5 + torch.arange(10) / 10).expand(1, 3, 1, 10).clone()


def test_the_pixels_of_smallest_norm_go_grey(row: torch.Tensor) -> None:
    expected = row.clone()
    expected[..., :4] = 0.5  # the 40th percentile of ten is the fifth: below it are four
    torch.testing.assert_close(corrected(row, norm(45)), expected)


def test_the_pixels_that_contribute_least_go_grey(row: torch.Tensor) -> None:
    # x - 1/2 is 0 .. 0.9; times these gradients it is 0, .9, .8, .7, .6, .5, .6, .7, .8, .9.
    slopes = torch.tensor([1, 9, 4, 7 / 3, 1.5, -1, -1, -1, -1, -1]).expand(1, 3, 1, 10)
    expected = row.clone()
    expected[..., [0, 5]] = 0.5
    clip = Correction("clip_small_contribution", 25)
    torch.testing.assert_close(corrected(row, clip, gradient=slopes), expected)


def test_a_pixel_that_went_grey_comes_back_where_it_matters(row: torch.Tensor) -> None:
    clip, slopes = Correction("clip_small_contribution", 25), torch.ones_like(row)
    slopes[..., 0] = 30
    row[..., 1] = 0.5
    after = AfterStep([clip], 1, slopes, None)
    stepped = row + 0.01 * slopes  # contributions are now 9, 0.01, 0.21, 0.31 ...
    expected = stepped.clone()
    expected[..., [1, 2]] = 0.5
    assert after.correct(stepped)
    torch.testing.assert_close(stepped, expected)


def test_a_flat_picture_has_no_pixel_smaller_than_others() -> None:
    flat = torch.full((1, 3, 8, 8), 0.8)
    assert torch.equal(corrected(flat, norm(60)), flat)


def test_a_blur_is_gaussian(picture: torch.Tensor) -> None:
    torch.testing.assert_close(corrected(picture, BLUR), _blur(picture, 1.5))
    dot = torch.zeros(1, 3, 9, 9)
    dot[:, :, 4, 4] = 1
    across = corrected(dot, Correction("blur", 1.0))[0, 0]
    assert across[4, 5] / across[4, 4] == pytest.approx(torch.tensor(-0.5).exp().item(), rel=1e-5)
    assert across.sum() == pytest.approx(1, rel=1e-5)


def test_it_is_done_after_every_so_many_steps(picture: torch.Tensor) -> None:
    fourth = Correction("blur", 1.0, every=4)
    changed = [not torch.equal(corrected(picture, fourth, step=n), picture) for n in range(1, 9)]
    assert changed == [False, False, False, True] * 2


@pytest.mark.parametrize(
    "correction", [BLUR, norm(50), Correction("clip_small_contribution", 50)], ids=lambda c: c.kind
)
def test_masks_weigh_corrections_as_they_weigh_steps(
    picture: torch.Tensor, correction: Correction
) -> None:
    mask = torch.zeros(1, 1, 71, 97)
    mask[..., :40] = 1
    mask[..., 40:60] = 0.5
    slopes = torch.linspace(-1, 1, 97).expand_as(picture)
    found = corrected(picture, correction, gradient=slopes, mask=mask)
    assert torch.equal(found[..., 60:], picture[..., 60:])
    assert not torch.equal(found[..., :40], picture[..., :40])
    whole = corrected(picture, correction, gradient=slopes, mask=(mask > 0).float())
    half = slice(40, 60)
    torch.testing.assert_close(found[..., half], (picture[..., half] + whole[..., half]) / 2)


def test_each_picture_of_a_batch_has_a_percentile_of_its_own(row: torch.Tensor) -> None:
    batch = torch.cat([row, row.flip(3) * 2])
    together = corrected(batch, norm(45))
    assert torch.equal(together[1:], corrected(batch[1:], norm(45)))


def test_the_percentile_of_a_large_picture_is_that_of_a_sample(
    picture: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = corrected(picture, norm(30))
    monkeypatch.setattr(correcting, "_SAMPLE", 700)
    sampled = corrected(picture, norm(30))
    differing = (exact != sampled).any(dim=1).float().mean()
    assert differing < 0.05


def test_other_spaces_keep_what_they_can_hold(picture: torch.Tensor) -> None:
    space = Parameterization(
        name="halved",
        summary="Twice as dark.",
        encode=lambda image: image / 2,
        decode=lambda latent, _size: latent * 2,
    )
    walk = Walk(space, picture.clone())
    after = AfterStep([BLUR], 1, picture, None)
    torch.testing.assert_close(walk.keep(after.correct), _blur(picture, 1.5))
    still = walk.step(torch.zeros_like(picture), torch.ones(1, 1, 1, 1), 0.1)
    torch.testing.assert_close(still, _blur(picture, 1.5))


def test_under_a_soft_mask_a_change_stays_as_strong_as_it_was(picture: torch.Tensor) -> None:
    space = Parameterization(
        name="same",
        summary="The same.",
        encode=lambda image: image,
        decode=lambda latent, _: latent,
    )
    walk = Walk(space, picture.clone(), torch.full_like(picture[:, :1], 0.5))

    def to_black(whole: torch.Tensor) -> bool:
        whole.zero_()
        return True

    for _ in range(3):
        walk.step(torch.zeros_like(picture), torch.ones(1, 1, 1, 1), 0.1)
        torch.testing.assert_close(walk.keep(to_black), picture / 2)


# -- in a dream ------------------------------------------------------------------------------------


def read(text: str) -> tuple[Correction, ...]:
    return checked(parse_objective(text, registry().objectives()))


def test_weights_are_part_of_the_strength() -> None:
    (found,) = read("eyes - 0.5*blur(2, every=4)")
    assert (found.kind, found.strength, found.every) == ("blur", 1.0, 4)
    made = checked(layer("eyes") - 2 * (clip_small_norm(10) + blur(1)))
    assert [each.strength for each in made] == [20, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("eyes + blur(1)", "blur is added; it is a regularizer, which one subtracts"),
        ("eyes - (-blur(1))", "blur is added"),
        ("eyes - 0*blur(1)", "blur is added"),
        ("eyes - 4*clip_small_norm(30)", "the strength 120 with its weight; 100 is too much"),
        ("eyes - 4*blur(30)", "the strength 120 with its weight; 64 is too much"),
        ("-blur(1)", "has nothing to climb; add a layer"),
    ],
)
def test_what_cannot_be_done_is_told_before_the_dream(
    text: str, said: str, picture: torch.Tensor
) -> None:
    with pytest.raises(ObjectiveError) as caught:
        dream(picture, QUICK.evolve(objective=text), device="cpu")
    assert said in str(caught.value)


def roughness(picture: torch.Tensor) -> float:
    return float(picture.diff(dim=2).abs().mean() + picture.diff(dim=3).abs().mean())


def test_a_blurred_dream_is_smoother(picture: torch.Tensor) -> None:
    sharp, soft = (
        dream(picture, QUICK.evolve(objective=text), device="cpu")
        for text in ("eyes", "eyes - blur(1, every=2)")
    )
    assert roughness(soft) < 0.9 * roughness(sharp)


def test_clipping_leaves_grey_where_little_was(picture: torch.Tensor) -> None:
    recipe = QUICK.evolve(octaves=1, objective="eyes - clip_small_norm(20, every=4)")
    dreamed = dream(picture, recipe, device="cpu")
    assert 0.17 < float((dreamed == 0.5).all(dim=1).float().mean()) < 0.21


def test_corrections_stay_within_a_mask_and_come_out_the_same_twice(picture: torch.Tensor) -> None:
    mask = torch.zeros(71, 97)
    mask[10:60, 20:70] = 1
    text = "eyes - blur(1) - clip_small_norm(5) - clip_small_contribution(5, every=2)"
    first, second = (
        dream(picture, QUICK.evolve(objective=text), mask=mask, device="cpu") for _ in range(2)
    )
    assert torch.equal(first, second)
    assert torch.equal(first[..., mask == 0], picture[..., mask == 0])
    assert not torch.equal(first, picture)


def test_a_recipe_holds_them() -> None:
    made = layer("eyes") - blur(0.5, every=4) - 0.5 * clip_small_norm(30)
    recipe = Recipe(objective=str(made))
    assert recipe.objective == ('layer("eyes") - blur(0.5, every=4) - 0.5*clip_small_norm(30)')
    again = Recipe.from_json(recipe.to_json())
    assert read(again.objective) == checked(made)
