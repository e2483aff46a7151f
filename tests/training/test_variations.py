"""Scenes are varied anew, and stay pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reverie.training import variations
from reverie.training.teacher import limits, normalise
from reverie.training.variations import varied


@pytest.fixture
def scenes() -> torch.Tensor:
    """Noise, (6, 3, 60, 60)."""
    levels = np.random.default_rng(0).integers(0, 256, (6, 60, 60, 3), np.uint8)
    return normalise(torch.from_numpy(levels))


def test_the_same_numbers_give_the_same_views_and_others_give_others(scenes: torch.Tensor) -> None:
    first, again, other = (varied(scenes, 44, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (6, 3, 44, 44)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_views_have_no_value_that_a_picture_has_not(scenes: torch.Tensor) -> None:
    views = varied(scenes, 44, np.random.default_rng(3))
    black, white = limits(views)
    assert bool((views >= black).all())
    assert bool((views <= white).all())


def test_what_is_not_turned_keeps_its_pixels(
    scenes: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variations, "_TURNED", 0)
    cut = variations._cut(scenes, 44, np.random.default_rng(4))
    for view, scene in zip(cut, scenes, strict=True):
        found = [
            torch.allclose(view, way[:, top : top + 44, left : left + 44], atol=1e-4)
            for way in (scene, scene.flip(2))
            for top in range(17)
            for left in range(17)
        ]
        assert any(found)
