from __future__ import annotations

from typing import Literal

import pytest
import torch

import reverie
from reverie.engine import canvas
from reverie.engine.parameterization import BUILT_IN, FOURIER, PIXELS
from reverie.engine.prepare import prepare
from reverie.engine.walk import Walk, held
from reverie.types import Parameterization

LOGIT = Parameterization(
    name="logit",
    summary="Pixels behind a sigmoid.",
    encode=lambda image: image.clamp(0.01, 0.99).logit(),
    decode=lambda latent, _size: latent.sigmoid(),
)
ONE = torch.ones(1, 1, 1, 1)
OPTIMIZERS: tuple[Literal["plain", "adam"], ...] = ("plain", "adam")
both = pytest.mark.parametrize("optimizer", OPTIMIZERS)
all_spaces = pytest.mark.parametrize("space", [*BUILT_IN, LOGIT], ids=lambda space: space.name)


def test_pixels_move_by_the_gradient_times_the_pace(picture: torch.Tensor) -> None:
    walk = Walk(PIXELS, picture.clone(), clip=False)
    moved = walk.step(torch.full_like(picture, 2.0), ONE * 0.005, 9.0)
    assert torch.allclose(moved, picture + 0.01)


@both
def test_pixels_are_moved_in_place(picture: torch.Tensor, optimizer: str) -> None:
    image = picture.clone()
    moved = Walk(PIXELS, image, optimizer=optimizer).step(torch.ones_like(image), ONE * 0.01, 0.01)
    assert moved.data_ptr() == image.data_ptr()


def test_adam_moves_each_pixel_by_the_step_size_first(picture: torch.Tensor) -> None:
    gradient = (picture - 0.55).mul(1e-9)
    walk = Walk(PIXELS, picture.clone(), optimizer="adam")
    moved = walk.step(gradient.clone(), ONE, 1.5 / 255)
    seen = gradient.abs() > 1e-12
    expected = gradient.sign() * 1.5 / 255
    assert torch.allclose((moved - picture)[seen], expected[seen], atol=1e-6)


@both
@all_spaces
def test_clip_keeps_pictures_between_black_and_white(
    picture: torch.Tensor, optimizer: str, space: Parameterization
) -> None:
    walk = Walk(space, picture.clone(), optimizer=optimizer)
    for _ in range(3):
        moved = walk.step(picture - 0.4, ONE, 0.5)
        assert 0 <= float(moved.min()) <= float(moved.max()) <= 1


@all_spaces
def test_each_picture_has_its_pace_and_the_mask_slows_it(
    picture: torch.Tensor, space: Parameterization
) -> None:
    batch = torch.cat([picture, picture]) * 0.5 + 0.25
    pace = torch.tensor([0.001, 0.002]).view(2, 1, 1, 1)
    mask = torch.ones(1, 1, 71, 97)
    mask[..., :40] = 0
    walk = Walk(space, batch.clone(), mask, clip=False)
    before = walk.picture.clone()
    assert torch.equal(before[..., :40], batch[..., :40])
    gradient = torch.cat([picture, picture]).flip(2)
    change = (walk.step(gradient, pace, 9.0) - before).abs().mean(dim=(1, 2))
    assert torch.all(change[:, :40] == 0)
    slow, fast = change[:, 40:].mean(dim=1)
    assert float(fast) == pytest.approx(2 * float(slow), rel=0.03)


@both
def test_a_mask_of_a_half_halves_the_motion_in_every_space(
    picture: torch.Tensor, optimizer: str
) -> None:
    for space in (PIXELS, LOGIT, FOURIER):
        walk = Walk(space, picture.clone(), torch.full((1, 1, 71, 97), 0.5), optimizer=optimizer)
        moved = walk.step((picture - 0.5).sign(), ONE * 2 / 255, 2 / 255)
        assert float((moved - picture).abs().mean()) == pytest.approx(1 / 255, rel=0.02)


@both
@pytest.mark.parametrize("rows", [1, 7, 71])
def test_bands_move_as_the_whole(
    picture: torch.Tensor, rows: int, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice() -> torch.Tensor:
        walk = Walk(PIXELS, picture.clone(), picture[:, :1], optimizer=optimizer)
        walk.step(picture.flip(2) - 0.5, ONE * 0.3, 0.1)
        return walk.step(picture.flip(3) - 0.5, ONE * 0.3, 0.1)

    whole = twice()
    monkeypatch.setattr(canvas.bands, "__kwdefaults__", {"most": rows * 97})
    # Adam's scale is a sum over bands, which rounds
    assert torch.allclose(twice(), whole, rtol=0, atol=0 if optimizer == "plain" else 1e-6)


@both
@all_spaces
def test_in_any_space_the_picture_moves_as_far_as_it_should(
    picture: torch.Tensor, space: Parameterization, optimizer: str
) -> None:
    walk = Walk(space, picture.clone(), optimizer=optimizer, clip=False)
    before = walk.picture.clone()
    gradient = picture.flip(2) - 0.45
    pace = 1 / 255 / gradient.abs().mean().view(1, 1, 1, 1)
    moved = walk.step(gradient, pace, 1 / 255)
    assert float((moved - before).abs().mean()) == pytest.approx(1 / 255, rel=0.03)


def test_a_space_that_is_not_exact_begins_with_what_it_decodes(picture: torch.Tensor) -> None:
    half = Parameterization(
        name="half",
        summary="Holds pictures of half the contrast.",
        encode=lambda image: image * 2,
        decode=lambda latent, _size: latent / 4,
        is_exact=False,
    )
    assert torch.allclose(Walk(half, picture.clone()).picture, picture / 2)


@both
@pytest.mark.parametrize("space", [space.name for space in BUILT_IN])
def test_a_dream_in_any_space_raises_the_objective_and_is_the_same_twice(
    picture: torch.Tensor, space: str, optimizer: Literal["plain", "adam"]
) -> None:
    recipe = reverie.Recipe(
        objective="eyes", octaves=2, steps=4, jitter=0, parameterization=space, optimizer=optimizer
    )
    seen: list[tuple[int, float]] = []
    dreamed = reverie.dream(
        picture, recipe, device="cpu", on_step=lambda step: seen.append((step.octave, step.value))
    )
    for octave in {octave for octave, _ in seen}:
        values = [value for at, value in seen if at == octave]
        assert values[-1] > values[0]
    assert torch.equal(dreamed, reverie.dream(picture, recipe, device="cpu"))


@pytest.mark.parametrize("space", ["fourier", "phase", "maco"])
def test_outside_a_mask_every_bit_stays_in_spaces_that_reach_everywhere(
    picture: torch.Tensor, space: str
) -> None:
    mask = torch.zeros(71, 97)
    mask[20:50, 30:70] = 1
    recipe = reverie.Recipe(octaves=2, steps=2, parameterization=space, optimizer="adam")
    dreamed = reverie.dream(picture, recipe, mask=mask, device="cpu")
    assert torch.equal(dreamed[..., mask == 0], picture[..., mask == 0])
    assert not torch.equal(dreamed, picture)


def test_adam_in_a_batch_dreams_each_as_if_alone(picture: torch.Tensor) -> None:
    batch = torch.cat([picture, picture.flip(3)])
    recipe = reverie.Recipe(octaves=2, steps=3, optimizer="adam")
    together = reverie.dream(batch, recipe, device="cpu")
    assert torch.equal(together[1:], reverie.dream(batch[1:], recipe, device="cpu"))


def test_the_moments_count_as_memory_and_live_in_files_with_the_picture() -> None:
    shape = (1, 3, 2048, 2056)
    picture = 4 * 3 * 2048 * 2056
    assert held(PIXELS, "plain", shape) == 0
    assert held(PIXELS, "adam", shape) == 2 * picture
    assert held(PIXELS, "adam", shape, in_file=True) == 2 * 4 * 3 * 1024**2
    assert held(FOURIER, "plain", shape, in_file=True) >= 10 * picture
    image = canvas.empty(shape, like=torch.empty(0), in_file=True).fill_(0.5)
    walk = Walk(PIXELS, image, optimizer="adam")
    assert walk._adam is not None
    assert all(canvas.lives_in_file(moment) for moment in walk._adam.moments)
    plain, adam = (
        prepare(reverie.Recipe(optimizer=name), torch.device("cpu")).least_memory(
            shape, in_file=False
        )
        for name in OPTIMIZERS
    )
    assert adam - plain == 2 * picture
