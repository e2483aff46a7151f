"""Colours, tones, edges and regions together, and on pictures that live in files."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from reverie import Recipe, Step, dream
from reverie.engine import canvas, octaves
from reverie.engine.tones import Tones

ALL: dict[str, Any] = {"colour": "palette", "anchor": 0.3, "edges": "tile", "smoothing": 0.3}


def large(picture: torch.Tensor) -> torch.Tensor:
    """Coloured waves, (1, 3, 560, 640)."""
    return picture.repeat(1, 1, 8, 7)[..., :560, :640].contiguous()


@pytest.mark.parametrize(
    "fields",
    [{"colour": "keep"}, {"colour": "luminance"}, {"edges": "panorama"}, {"anchor": 1.0}, ALL],
    ids="-".join,
)
def test_in_a_file_and_in_tiles_a_dream_is_the_same(
    picture: torch.Tensor, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = large(picture)
    corner = torch.zeros(560, 640)
    corner[:100, :150] = 1
    recipe = Recipe(octaves=2, steps=1, objective="outlines", precision="float32", **fields)
    regions = [(corner, "rings")]
    whole = dream(image, recipe, regions=regions)
    for module in (canvas, octaves):
        monkeypatch.setattr(module, "SMALL", 2**14)
    in_files = []

    def watch(step: Step) -> None:
        in_files.append(canvas.lives_in_file(step.picture))

    cut = dream(image, recipe, regions=regions, memory=66 * 10**6, on_step=watch)
    assert in_files[-1]
    assert float((cut - whole).abs().mean()) < 2e-4
    assert float((whole - image).abs().mean()) > 2e-3


def test_all_together_are_repeatable_in_a_batch(picture: torch.Tensor) -> None:
    batch = torch.cat([picture, picture.flip(3) * 0.8])
    recipe = Recipe(octaves=3, steps=2, precision="float32", **ALL)
    regions = [(torch.linspace(0, 1, 97).expand(71, -1), "rings")]
    first = dream(batch, recipe, regions=regions)
    assert torch.equal(first, dream(batch, recipe, regions=regions))
    alone = dream(batch[1:], recipe, regions=regions)
    assert float((first[1:] - alone).abs().median()) < 1 / 255


def test_by_default_nothing_is_held(picture: torch.Tensor) -> None:
    tones = Tones(Recipe(), picture)
    tones.begin(picture, None)
    gradient, now = torch.ones_like(picture), picture + 1
    assert tones.along(gradient) is gradient
    assert not tones.hold(now)
    assert torch.equal(now, picture + 1)
