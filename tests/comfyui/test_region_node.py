"""Reverie Region: other objectives in other places, through the nodes."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from PIL import Image

import reverie
from reverie.record import Record
from reverie_comfyui.nodes.dream import DREAM
from reverie_comfyui.nodes.region import REGION
from reverie_comfyui.nodes.save_image import SAVE_IMAGE
from reverie_comfyui.nodes.zoom import ZOOM

QUICK: dict[str, Any] = {"octaves": 2, "steps": 2}


def region(mask: torch.Tensor, objective: str = "rings", **links: Any) -> Any:
    return REGION.run(mask=mask, objective=objective, **links).values[0]


def dreamed(image: torch.Tensor, **values: Any) -> torch.Tensor:
    with torch.inference_mode():  # as ComfyUI runs nodes
        made = DREAM.run(image=image, **{**QUICK, **values}).values[0]
    assert isinstance(made, torch.Tensor)
    return made


def as_core(image: torch.Tensor, objective: str = "", **more: Any) -> torch.Tensor:
    recipe = reverie.Recipe(**QUICK, objective=objective)
    made = reverie.dream(image.movedim(-1, 1), recipe, device="cpu", **more)
    assert isinstance(made, torch.Tensor)
    return made.movedim(1, -1)


@pytest.fixture
def left() -> torch.Tensor:
    """A MASK of another size than the picture."""
    mask = torch.zeros(1, 20, 30)
    mask[:, :, :15] = 1
    return mask


@pytest.mark.usefixtures("comfy")
def test_a_region_dreams_as_in_the_core(image: torch.Tensor, left: torch.Tensor) -> None:
    made = dreamed(image, regions=region(left))
    assert torch.equal(made, as_core(image, regions=[(left[0], "rings")]))
    assert not torch.equal(made, dreamed(image))


@pytest.mark.usefixtures("comfy")
def test_regions_are_chained_in_their_order(image: torch.Tensor, left: torch.Tensor) -> None:
    chain = region(1 - left, "eyes", regions=region(left))
    assert [text for _, text in chain] == ['layer("rings")', 'layer("eyes")']
    wanted = as_core(image, regions=[(left[0], "rings"), (1 - left[0], "eyes")])
    assert torch.equal(dreamed(image, regions=chain), wanted)


@pytest.mark.usefixtures("comfy")
def test_a_linked_objective_wins_over_the_written_one(left: torch.Tensor) -> None:
    ((_, text),) = region(left, "rings", reverie_objective='channel("eyes", 7)')
    assert text == 'channel("eyes", 7)'


@pytest.mark.usefixtures("comfy")
def test_an_empty_objective_is_the_networks_own_layer(
    image: torch.Tensor, left: torch.Tensor
) -> None:
    made, record = DREAM.run(
        image=image, objective="rings", regions=region(left, " "), **QUICK
    ).values
    assert record.regions == ('layer("creatures")',)
    assert torch.equal(made, as_core(image, "rings", regions=[(left[0], "creatures")]))


@pytest.mark.usefixtures("comfy")
def test_masks_of_a_region_are_used_in_turn(image: torch.Tensor, left: torch.Tensor) -> None:
    regions = region(torch.cat([left, 1 - left]))
    made = dreamed(image.repeat(3, 1, 1, 1), regions=regions)
    assert torch.equal(made[0], dreamed(image, regions=region(left))[0])
    assert torch.equal(made[1], dreamed(image, regions=region(1 - left))[0])
    assert torch.equal(made[2], made[0])
    assert not torch.equal(made[1], made[0])


@pytest.mark.usefixtures("comfy")
def test_a_region_without_any_white_changes_nothing(image: torch.Tensor) -> None:
    nowhere = torch.zeros(1, 64, 64)  # what Load Image gives without alpha
    # the gradient is divided by its mean once more, which rounds differently
    plain = dreamed(image, precision="float32")
    empty, full = (
        dreamed(image, regions=region(mask), precision="float32") for mask in (nowhere, 1 - nowhere)
    )
    assert torch.allclose(empty, plain, atol=1e-3)
    assert not torch.allclose(full, plain, atol=1e-2)


@pytest.mark.usefixtures("comfy")
def test_the_dreams_mask_says_where_regions_dream(image: torch.Tensor, left: torch.Tensor) -> None:
    made = dreamed(image, regions=region(torch.ones(1, 8, 8)), mask=1 - left)
    assert torch.equal(made[:, :, :40], image[:, :, :40])
    assert not torch.equal(made[:, :, 60:], image[:, :, 60:])


@pytest.mark.usefixtures("comfy")
def test_only_the_region_may_look_at_the_guide(image: torch.Tensor, left: torch.Tensor) -> None:
    guide = image.flip(1)
    regions = region(left, "guide(eyes)")
    made, record = DREAM.run(
        image=image, objective="rings", guide=guide, regions=regions, **QUICK
    ).values
    assert record.recipe.objective == 'layer("rings")'
    wanted = as_core(image, "rings", guide=guide.movedim(-1, 1), regions=[(left[0], "guide(eyes)")])
    assert torch.equal(made, wanted)


def test_the_saved_picture_names_the_regions_objectives(
    image: torch.Tensor, left: torch.Tensor, comfy: Any
) -> None:
    made, record = DREAM.run(image=image, regions=region(left), **QUICK).values
    assert record.regions == ('layer("rings")',)
    SAVE_IMAGE.run(image=made, recipe=record)
    (file,) = comfy.base.glob("output/**/*.png")
    with Image.open(file) as picture:
        assert json.loads(picture.info["reverie"])["regions"] == ['layer("rings")']


@pytest.mark.usefixtures("comfy")
def test_regions_stay_where_they_are_in_a_zoom(image: torch.Tensor, left: torch.Tensor) -> None:
    recipe = Record(reverie.Recipe(octaves=1, steps=1, precision="float32"))
    given = {"image": image, "recipe": recipe, "zoom": 1.0, "regions": region(left)}
    frames, record = ZOOM.run(**given, frames=2).values
    now = image.movedim(-1, 1)
    for number, frame in enumerate(frames):
        once = recipe.recipe.evolve(seed=number)
        now = reverie.dream(now, once, regions=[(left[0], "rings")], device="cpu")
        assert torch.allclose(frame, now[0].movedim(0, -1), atol=1e-5)
    assert record.regions == ('layer("rings")',)


@pytest.mark.parametrize(
    ("objective", "sentence"),
    [
        ("channel(eyes", "objective: 'channel(eyes'"),
        ("layr(eyes)", "did you mean 'layer'"),
    ],
)
@pytest.mark.usefixtures("comfy")
def test_a_wrong_objective_is_answered_in_its_own_node(
    left: torch.Tensor, objective: str, sentence: str
) -> None:
    with pytest.raises(reverie.ObjectiveError) as error:
        region(left, objective)
    assert sentence in str(error.value)


@pytest.mark.usefixtures("comfy")
def test_a_layer_that_the_network_has_not_is_named(image: torch.Tensor, left: torch.Tensor) -> None:
    with pytest.raises(reverie.ReverieError, match="'eyse'; did you mean 'eyes'"):
        dreamed(image, regions=region(left, "eyse"))


@pytest.mark.usefixtures("comfy")
def test_what_is_no_mask_is_refused_in_its_own_node() -> None:
    with pytest.raises(reverie.ImageError, match=r"give \[batch, height, width\]"):
        region(torch.zeros(1, 3, 71, 97))
