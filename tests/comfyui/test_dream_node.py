"""Reverie Dream: the same dream as everywhere, for all that ComfyUI may link to it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import reverie
from reverie.record import Record
from reverie_comfyui.nodes.dream import DREAM

QUICK = {"octaves": 2, "steps": 2}


def dreamed(image: torch.Tensor, **values: Any) -> torch.Tensor:
    with torch.inference_mode():  # as ComfyUI runs nodes
        made = DREAM.run(image=image, **{**QUICK, **values}).values[0]
    assert isinstance(made, torch.Tensor)
    return made


def as_core(image: torch.Tensor, recipe: reverie.Recipe | None = None, **more: Any) -> torch.Tensor:
    recipe = recipe or reverie.Recipe(**QUICK)  # type: ignore[arg-type]
    made = reverie.dream(image[..., :3].movedim(-1, 1), recipe, device="cpu", **more)
    assert isinstance(made, torch.Tensor)
    return made.movedim(1, -1)


@pytest.mark.usefixtures("comfy")
def test_the_dream_is_that_of_the_core(image: torch.Tensor) -> None:
    made = dreamed(image)
    assert torch.equal(made, as_core(image))
    assert made.dtype is torch.float32
    assert made.is_contiguous()
    assert 0 <= float(made.min()) <= float(made.max()) <= 1


@pytest.mark.usefixtures("comfy")
def test_the_image_that_is_linked_is_left_as_it_was(image: torch.Tensor) -> None:
    before = image.clone()
    dreamed(image)
    assert torch.equal(image, before)


@pytest.mark.usefixtures("comfy")
def test_every_image_of_a_batch_is_dreamed_as_if_alone(image: torch.Tensor) -> None:
    batch = torch.cat([image, image.flip(2)])
    made = dreamed(batch)
    assert torch.equal(made[0], dreamed(batch[:1])[0])
    assert torch.equal(made[1], dreamed(batch[1:])[0])


@pytest.mark.usefixtures("comfy")
def test_alpha_passes_bit_for_bit(image: torch.Tensor) -> None:
    alpha = torch.rand(1, 71, 97, 1)
    made = dreamed(torch.cat([image, alpha], dim=3))
    assert torch.equal(made[..., 3:], alpha)
    assert torch.equal(made[..., :3], dreamed(image))


@pytest.mark.usefixtures("comfy")
def test_alpha_follows_a_picture_that_becomes_smaller(image: torch.Tensor) -> None:
    made = dreamed(torch.cat([image, torch.full((1, 71, 97, 1), 0.25)], dim=3), size=64)
    assert made.shape == (1, 47, 64, 4)
    assert torch.allclose(made[..., 3], torch.tensor(0.25))


@pytest.mark.usefixtures("comfy")
def test_a_grey_image_dreams_in_colour(image: torch.Tensor) -> None:
    grey = image[..., :1]
    assert torch.equal(dreamed(grey), dreamed(grey.expand(-1, -1, -1, 3)))


@pytest.mark.usefixtures("comfy")
def test_a_half_precision_image_comes_back_in_float32(image: torch.Tensor) -> None:
    made = dreamed(image.half())
    assert made.dtype is torch.float32
    assert torch.equal(made, as_core(image.half().float()))


@pytest.mark.usefixtures("comfy")
def test_a_mask_of_another_size_keeps_the_black_half_bit_for_bit(image: torch.Tensor) -> None:
    mask = torch.zeros(1, 20, 30)
    mask[:, :, 15:] = 1
    made = dreamed(image, mask=mask)
    assert torch.equal(made[:, :, :40], image[:, :, :40])
    assert not torch.equal(made[:, :, 60:], image[:, :, 60:])
    assert torch.equal(made, as_core(image, mask=mask[0]))


@pytest.mark.usefixtures("comfy")
def test_masks_are_used_in_turn_for_a_larger_batch(image: torch.Tensor) -> None:
    masks = torch.stack([torch.zeros(71, 97), torch.ones(71, 97)])
    made = dreamed(image.repeat(3, 1, 1, 1), mask=masks)
    assert torch.equal(made[0], image[0])
    assert torch.equal(made[2], image[0])
    assert torch.equal(made[1], dreamed(image, mask=masks[1:])[0])


def test_an_empty_mask_leaves_the_picture_alone(image: torch.Tensor, comfy: Any) -> None:
    made = dreamed(image, mask=torch.zeros(1, 64, 64))  # what Load Image gives without alpha
    assert torch.equal(made, image)
    assert comfy.progress[-1] == (1, 1)


@pytest.mark.usefixtures("comfy")
def test_settings_that_differ_from_their_defaults_are_laid_over_a_preset(
    image: torch.Tensor,
) -> None:
    given = DREAM.run(image=image, preset="subtle", octaves=1, step_size=1.5).values[1]
    subtle = reverie.registry().presets()["subtle"].recipe
    assert given.recipe.octaves == 1
    assert given.recipe.step_size == subtle.step_size == 0.8  # 1.5 is the default
    assert given.recipe.steps == subtle.steps


@pytest.mark.usefixtures("comfy")
def test_a_linked_recipe_wins_over_preset_and_settings(image: torch.Tensor) -> None:
    recipe = reverie.Recipe(octaves=1, steps=1, objective="eyes")
    made = dreamed(image, preset="vivid", octaves=7, recipe=Record(recipe))
    assert torch.equal(made, as_core(image, recipe))


@pytest.mark.usefixtures("comfy")
def test_linked_network_and_objective_win_over_a_linked_recipe(image: torch.Tensor) -> None:
    recipe = Record(reverie.Recipe(octaves=1, steps=1, network="googlenet", objective="conv1"))
    given = DREAM.run(
        image=image, recipe=recipe, reverie_network="embedded", reverie_objective="rings"
    )
    assert given.values[1].recipe.network == "embedded"
    assert given.values[1].recipe.objective == 'layer("rings")'


@pytest.mark.usefixtures("comfy")
def test_the_recipe_that_comes_out_dreams_the_same_again(image: torch.Tensor) -> None:
    mask = torch.ones(1, 71, 97)
    first, record = DREAM.run(image=image, mask=mask, **QUICK).values
    assert record.is_masked
    assert record.recipe.objective == 'layer("creatures")'
    assert record.recipe.precision in {"float32", "bf16"}
    assert torch.equal(first, dreamed(image, mask=mask, recipe=record))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"preset": "vivd"}, "there is no preset 'vivd'; did you mean 'vivid'?"),
        ({"network": "vgg61"}, "there is no network 'vgg61'; did you mean 'vgg"),
        ({"carry": "nonsense"}, "carry: 'nonsense' is not one of detail, picture."),
        ({"objective": "layer(eyse)"}, "'eyse'; did you mean 'eyes'"),
        ({"parameterization": "no"}, "there is no parameterization 'no'"),
        ({"octaves": 99, "preset": "vivid"}, "octaves: 99 is outside 1..12."),
    ],
)
@pytest.mark.usefixtures("comfy")
def test_a_wrong_value_is_answered_with_a_sentence(
    image: torch.Tensor, values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(reverie.ReverieError) as error:
        dreamed(image, **values)
    assert sentence in str(error.value)


@pytest.mark.parametrize("shape", [(71, 97, 3), (1, 71, 97, 2), (0, 71, 97, 3)])
@pytest.mark.usefixtures("comfy")
def test_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(reverie.ImageError, match=r"give \[batch, height, width, 3\]"):
        dreamed(torch.zeros(shape))


@pytest.mark.usefixtures("comfy")
def test_what_is_no_mask_is_refused(image: torch.Tensor) -> None:
    with pytest.raises(reverie.ImageError, match=r"give \[batch, height, width\]"):
        dreamed(image, mask=torch.zeros(1, 3, 71, 97))


@pytest.mark.usefixtures("comfy")
def test_a_guide_turns_a_plain_layer_into_its_guide(image: torch.Tensor) -> None:
    guide = image.flip(1)[:, :48]
    recipe = reverie.Recipe(**QUICK, objective="guide(eyes)")  # type: ignore[arg-type]
    wanted = as_core(image, recipe, guide=guide.movedim(-1, 1))
    assert torch.equal(dreamed(image, objective="eyes", guide=guide), wanted)
    assert torch.equal(dreamed(image, objective="guide(eyes)", guide=guide), wanted)


@pytest.mark.usefixtures("comfy")
def test_a_guide_and_no_objective_take_the_networks_own_layer(image: torch.Tensor) -> None:
    record = DREAM.run(image=image, guide=image.flip(1), **QUICK).values[1]
    assert record.recipe.objective == 'guide("creatures")'
    assert record.is_guided


@pytest.mark.usefixtures("comfy")
def test_a_guide_that_no_term_would_look_at_is_refused(image: torch.Tensor) -> None:
    with pytest.raises(reverie.ObjectiveError, match="does not look at the guide"):
        dreamed(image, objective="eyes + rings", guide=image)


@pytest.mark.usefixtures("comfy")
def test_guides_are_used_in_turn(image: torch.Tensor) -> None:
    guides = torch.cat([image.flip(1), image.flip(2)])
    made = dreamed(image.repeat(2, 1, 1, 1), guide=guides)
    assert torch.equal(made[1], dreamed(image, guide=guides[1:])[0])
    assert not torch.equal(made[0], made[1])
