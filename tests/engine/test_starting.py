"""Where dreams begin, and dreams that begin from nothing."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image

from reverie import Cancelled, Recipe, RecipeError, Step, dream
from reverie.engine import canvas
from reverie.engine.starting import SIDE, blank, start

Start = Literal["picture", "noise", "grey", "procedural"]
NOTHING: tuple[Start, ...] = ("noise", "grey", "procedural")
QUICK = Recipe(octaves=2, steps=2, precision="float32", start="procedural")


def begun(
    recipe: Recipe, *size: int, count: int = 1, mask: torch.Tensor | None = None
) -> torch.Tensor:
    return start(recipe, torch.full((count, 3, *size), 0.25), mask)


def test_a_dream_starts_from_the_picture_itself_by_default(picture: torch.Tensor) -> None:
    assert start(Recipe(), picture, None) is picture


def test_grey_is_grey_and_noise_is_as_strong_as_the_recipe_says() -> None:
    assert torch.equal(begun(Recipe(start="grey"), 9, 7), torch.full((1, 3, 9, 7), 0.5))
    noise = begun(Recipe(start="noise", noise=20.0), 200, 130)
    assert float(noise.std()) * 255 == pytest.approx(20, rel=0.01)
    assert float(noise.mean()) == pytest.approx(0.5, abs=1e-3)
    neighbours = (noise[..., 1:] - 0.5) * (noise[..., :-1] - 0.5)
    assert float(neighbours.mean() / noise.var()) == pytest.approx(0, abs=0.02)


def test_procedural_pictures_are_smooth_and_coloured() -> None:
    clouds = begun(Recipe(start="procedural"), 160, 200)
    assert 0 <= float(clouds.min()) < 0.35
    assert 0.65 < float(clouds.max()) <= 1
    assert float(clouds.diff(dim=3).abs().mean()) < 0.1 * float(clouds.std())
    assert float((clouds[:, 0] - clouds[:, 2]).abs().mean()) > 0.02


def test_a_larger_procedural_picture_is_the_same_with_more_detail() -> None:
    small, large = (begun(Recipe(start="procedural"), side, side) for side in (64, 128))
    shrunk = torch.nn.functional.interpolate(large, size=(64, 64), mode="area")
    cosine = torch.nn.functional.cosine_similarity(
        (shrunk - 0.5).flatten(), (small - 0.5).flatten(), dim=0
    )
    assert float(cosine) > 0.98


@pytest.mark.parametrize("size", [(562, 900), (240, 384), (90, 145)])
def test_clouds_stay_though_rounding_changes_the_shape_a_little(size: tuple[int, int]) -> None:
    before, after = (begun(Recipe(start="procedural"), *each) for each in ((320, 512), size))
    one, other = (
        torch.nn.functional.interpolate(each - 0.5, size=(40, 64), mode="area").flatten()
        for each in (before, after)
    )
    assert float(torch.nn.functional.cosine_similarity(one, other, dim=0)) > 0.98


@pytest.mark.parametrize(("edges", "meets"), [("tile", (2, 3)), ("panorama", (3,))])
def test_where_edges_meet_clouds_have_no_seam(
    edges: Literal["tile", "panorama"], meets: tuple[int, ...]
) -> None:
    clouds = begun(Recipe(start="procedural", edges=edges), 90, 128)
    for dim in meets:
        seam = (clouds.narrow(dim, 0, 1) - clouds.narrow(dim, -1, 1)).abs().mean()
        assert float(seam) < 1.5 * float(clouds.diff(dim=dim).abs().mean())


@pytest.mark.parametrize("kind", ["noise", "procedural"])
def test_the_seed_alone_decides(kind: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(start=kind)
    state = torch.get_rng_state()
    first = begun(recipe, 70, 50)
    assert torch.equal(torch.get_rng_state(), state)
    monkeypatch.setattr(canvas.bands, "__kwdefaults__", {"most": 7 * 50})
    assert torch.equal(begun(recipe, 70, 50), first)
    assert not torch.equal(begun(recipe.evolve(seed=1), 70, 50), first)


@pytest.mark.parametrize("kind", ["noise", "procedural"])
def test_pictures_of_a_batch_start_differently_the_first_as_alone(kind: Start) -> None:
    recipe = Recipe(start=kind)
    batch = begun(recipe, 40, 30, count=2)
    assert torch.equal(batch[:1], begun(recipe, 40, 30))
    assert not torch.equal(batch[0], batch[1])


@pytest.mark.parametrize("size", [(1, 1), (3, 90), (2000, 2)])
def test_pictures_of_any_shape_can_be_painted(size: tuple[int, int]) -> None:
    assert torch.isfinite(begun(Recipe(start="procedural"), *size)).all()


def test_a_mask_says_how_much_of_the_picture_gives_way() -> None:
    mask = torch.tensor([0.0, 0.25, 1.0]).expand(1, 1, 4, 3)
    mixed = begun(Recipe(start="grey"), 4, 3, mask=mask)
    assert mixed[0, 0, 0].tolist() == pytest.approx([0.25, 0.3125, 0.5])
    assert torch.equal(mixed[..., 0], torch.full((1, 3, 4), 0.25))


@pytest.mark.parametrize("kind", NOTHING)
def test_the_picture_gives_only_its_size(picture: torch.Tensor, kind: Start) -> None:
    recipe = QUICK.evolve(start=kind)
    dreamed = dream(picture, recipe)
    assert dreamed.shape == picture.shape
    assert torch.equal(dreamed, dream(1 - picture, recipe))
    assert not torch.equal(dreamed, dream(picture, recipe.evolve(start="picture")))


def test_every_octave_lies_on_the_beginning_and_not_on_the_picture(picture: torch.Tensor) -> None:
    recipe = QUICK.evolve(start="grey", step_size=0.01, octaves=3, carry="detail")
    steps: list[torch.Tensor] = []

    def keep(step: Step) -> None:
        steps.append(step.result())

    dream(picture, recipe, on_step=keep)
    for each in steps:
        assert float((each - 0.5).abs().max()) < 0.02


def test_outside_a_mask_the_picture_stays_and_inside_it_is_gone(picture: torch.Tensor) -> None:
    mask = torch.zeros(71, 97)
    mask[20:50, 30:60] = 1
    recipe = QUICK.evolve(start="grey", step_size=0.01)
    dreamed = dream(picture, recipe, mask=mask)
    outside = (mask == 0).expand_as(picture)
    assert torch.equal(dreamed[outside], picture[outside])
    assert float((dreamed[~outside] - 0.5).abs().max()) < 0.02


def test_what_objectives_and_colours_compare_with_is_the_picture(picture: torch.Tensor) -> None:
    values: list[float] = []
    recipe = Recipe(
        objective="-100*l2_to_original() + 0*layer(eyes)",
        octaves=1,
        steps=12,
        step_size=4,
        start="grey",
        precision="float32",
    )
    dreamed = dream(picture, recipe, on_step=lambda step: values.append(step.value))
    assert values[0] < values[-1] < 0
    before, after = (float((each - picture).abs().mean()) for each in (picture * 0 + 0.5, dreamed))
    assert after < 0.7 * before
    kept = dream(picture, QUICK.evolve(start="grey", colour="keep", steps=1, clip=False))
    chroma = (picture[:, 0] - picture[:, 2]) - (kept[:, 0] - kept[:, 2])
    assert float(chroma.abs().median()) < 0.02


def test_colours_are_held_from_the_first_octave_on(picture: torch.Tensor) -> None:
    def stop(_: Step) -> None:
        raise Cancelled

    muted = 0.5 + 0.3 * (picture - 0.5)
    recipe = QUICK.evolve(octaves=3, colour="keep", objective="rings")
    with pytest.raises(Cancelled) as cancelled:
        dream(muted, recipe, on_step=stop)
    found = cancelled.value.image
    inside = ((found > 0) & (found < 1)).all(dim=1)  # black and white are cut off
    for one, other in ((0, 1), (1, 2)):
        apart = (found - muted)[:, one] - (found - muted)[:, other]
        assert float(apart[inside].abs().max()) < 1e-5
    assert float(inside.float().mean()) > 0.5


@pytest.mark.parametrize("kind", NOTHING)
def test_a_mask_of_zeros_leaves_the_picture(picture: torch.Tensor, kind: Start) -> None:
    for colour in ("free", "keep", "palette"):
        recipe = QUICK.evolve(start=kind, colour=colour)
        assert torch.equal(dream(picture, recipe, mask=torch.zeros(71, 97)), picture)


@pytest.mark.parametrize("kind", NOTHING)
def test_without_a_picture_a_square_of_the_recipe_s_size_is_dreamed(kind: Start) -> None:
    dreamed = dream(None, QUICK.evolve(start=kind, size=80))
    assert isinstance(dreamed, Image.Image)
    assert (dreamed.mode, dreamed.size) == ("RGB", (80, 80))
    assert float(np.asarray(dreamed, float).std()) > 1
    grey = Image.new("RGB", (80, 80), (9, 9, 9))
    assert np.array_equal(np.asarray(dream(grey, QUICK.evolve(start=kind))), np.asarray(dreamed))


def test_a_dream_from_nothing_keeps_the_colours_that_it_began_with() -> None:
    recipe = QUICK.evolve(size=96, colour="keep")
    dreamed = np.asarray(dream(None, recipe), float)
    assert float(np.abs(dreamed[..., 0] - dreamed[..., 2]).mean()) > 3  # no grey picture


def test_without_a_size_the_square_is_half_a_thousand_wide() -> None:
    assert blank(Recipe(start="grey")).size == (SIDE, SIDE) == (512, 512)


def test_a_picture_that_is_not_there_is_missed_in_a_sentence() -> None:
    with pytest.raises(RecipeError, match="'picture' needs a picture; give one, or start with"):
        dream(None)


def test_large_beginnings_live_in_files_as_their_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = begun(QUICK, 60, 50)
    monkeypatch.setattr(canvas, "SMALL", 100)
    pixels = canvas.empty((1, 3, 60, 50), torch.empty(0), in_file=True).fill_(0.25)
    for kind in ("noise", "procedural"):
        assert canvas.lives_in_file(start(QUICK.evolve(start=kind), pixels, None))
    assert torch.equal(start(QUICK, pixels, None), expected)


def test_a_silent_objective_says_that_nothing_changed(caplog: pytest.LogCaptureFixture) -> None:
    dream(None, QUICK.evolve(size=64, objective="0*layer(eyes)"))
    assert "nothing changed" in caplog.text
