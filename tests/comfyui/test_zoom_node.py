"""Reverie Zoom: frames that dream on each other."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import reverie
from reverie.record import Record
from reverie_comfyui.motion import Motion, warp
from reverie_comfyui.nodes.zoom import ZOOM

RECIPE = Record(reverie.Recipe(octaves=1, steps=1, seed=2**64 - 1, precision="float32"))


def frames(image: torch.Tensor, **values: Any) -> torch.Tensor:
    with torch.inference_mode():
        made = ZOOM.run(image=image, recipe=RECIPE, **values).values[0]
    assert isinstance(made, torch.Tensor)
    return made


@pytest.mark.usefixtures("comfy")
def test_the_first_frame_is_the_image_dreamed_and_each_next_one_that_moved(
    image: torch.Tensor,
) -> None:
    made = frames(image, frames=3, fps=10.0, zoom=1.5, rotation=20.0)
    now = image.movedim(-1, 1)
    for number, frame in enumerate(made):
        if number:
            now = warp(now, Motion(zoom=1.5, rotation=20).after(0.1))
        seed = (2**64 - 1 + number) % 2**64
        now = reverie.dream(now, RECIPE.recipe.evolve(seed=seed), device="cpu")
        assert torch.allclose(frame, now[0].movedim(0, -1), atol=1e-5)


def test_each_image_of_a_batch_gives_its_own_sequence(image: torch.Tensor, comfy: Any) -> None:
    batch = torch.cat([image, image.flip(2)])
    made = frames(batch, frames=2)
    assert made.shape == (4, 71, 97, 3)
    assert torch.equal(made[2:], frames(batch[1:], frames=2))
    assert comfy.progress[3] == (4, 4)


@pytest.mark.usefixtures("comfy")
def test_alpha_moves_with_the_picture(image: torch.Tensor) -> None:
    alpha = torch.zeros(1, 71, 97, 1)
    alpha[:, :, :40] = 1
    made = frames(torch.cat([image, alpha], dim=3), frames=2, fps=1.0, zoom=1.0, shift_x=20.0)
    assert torch.equal(made[0, ..., 3:], alpha[0])
    assert torch.allclose(made[1, :, 22:58, 3], torch.tensor(1.0), atol=1e-4)
    assert torch.allclose(made[1, :, 64:, 3], torch.tensor(0.0), atol=1e-4)


@pytest.mark.usefixtures("comfy")
def test_a_recipes_size_is_that_of_all_frames(image: torch.Tensor) -> None:
    recipe = Record(RECIPE.recipe.evolve(size=64))
    made = ZOOM.run(image=image, frames=2, recipe=recipe).values[0]
    assert made.shape == (2, 47, 64, 3)


@pytest.mark.usefixtures("comfy")
def test_where_the_mask_is_black_the_picture_only_moves(image: torch.Tensor) -> None:
    made = frames(image, frames=2, mask=torch.zeros(1, 64, 64))
    move = Motion(zoom=1.5).between(0, 1 / 24)
    assert torch.equal(made[0], image[0])
    assert torch.allclose(made[1], warp(image.movedim(-1, 1), move)[0].movedim(0, -1))


@pytest.mark.usefixtures("comfy")
def test_a_zoom_from_nothing_begins_there_once_and_then_goes_on(image: torch.Tensor) -> None:
    recipe = RECIPE.recipe.evolve(start="procedural", step_size=0.01)
    made = ZOOM.run(image=image, frames=2, recipe=Record(recipe)).values[0]
    assert not torch.allclose(made[0], image[0], atol=0.1)
    moved = warp(made[:1].movedim(-1, 1), Motion(zoom=1.5).between(0, 1 / 24)).movedim(1, -1)
    assert torch.allclose(made[1:], moved, atol=0.01)
