"""A soft mask is a map of strength: a grey of half white is climbed half as far."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from reverie import Recipe, dream
from reverie.device import own_grad_mode
from reverie.engine.dream import _ascend
from reverie.engine.octaves import resize
from reverie.engine.prepare import prepare


def ramp(height: int, width: int) -> torch.Tensor:
    """From 0.1 at the left to 0.9 at the right, (height, width)."""
    return torch.linspace(0.1, 0.9, width).expand(height, -1).contiguous()


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("batch", [1, 2])
def test_every_step_of_every_octave_goes_as_far_as_the_map_says(clip: bool, batch: int) -> None:
    """With a gradient of ones, each step is the step size times the map at the octave's size."""
    recipe = Recipe(octaves=3, steps=2, step_size=2.55, clip=clip, octave_scale=1.5)

    def ones(image: torch.Tensor, _shift: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(len(image)), torch.ones_like(image)

    base = torch.full((batch, 3, 100, 120), 0.5)
    strength = torch.stack([ramp(100, 120), ramp(100, 120).flip(1)])[:batch, None]
    with own_grad_mode():
        climb = replace(prepare(recipe, torch.device("cpu")), gradient=ones)
        before: torch.Tensor | None = None
        octaves = []
        for step in _ascend(base, strength, climb):
            if before is not None and before.shape == step.picture.shape:
                moved = step.picture - before
                expected = 0.01 * resize(strength, step.size).expand_as(moved)
                assert torch.allclose(moved, expected, atol=1e-6)
                octaves.append(step.octave)
            before = step.picture.clone()
        assert octaves == [1, 2, 3]


def test_one_map_for_each_picture_of_a_batch(picture: torch.Tensor) -> None:
    recipe = Recipe(octaves=1, steps=1, clip=False, precision="float32")
    maps = torch.stack([ramp(71, 97), ramp(71, 97).flip(1)])
    whole = dream(picture, recipe) - picture
    dreamed = dream(torch.cat([picture, picture]), recipe, mask=maps)
    for number in range(2):
        change = dreamed[number] - picture[0]
        assert torch.allclose(change, maps[number] * whole[0], atol=1e-5)


def test_a_grey_picture_of_bytes_is_a_map(picture: torch.Tensor) -> None:
    recipe = Recipe(octaves=2, steps=2, precision="float32")
    grey = (ramp(71, 97) * 255).round().byte().numpy()
    floating = grey.astype(np.float32) / 255
    assert torch.equal(dream(picture, recipe, mask=grey), dream(picture, recipe, mask=floating))
