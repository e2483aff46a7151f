from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from reverie.training.ingredients import SPRITE, Ingredients
from reverie.training.scenes import compose
from reverie.training.teacher import Teacher

if TYPE_CHECKING:
    from pathlib import Path

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="session")
def ingredients() -> Ingredients:
    """One photograph and one sprite, both of noise."""
    random = np.random.default_rng(1)
    photo = random.integers(0, 256, (200, 260, 3), np.uint8)
    sprite = random.integers(0, 256, (SPRITE, SPRITE, 4), np.uint8)
    return Ingredients([sprite], [photo], {"held": photo})


@pytest.fixture(scope="session")
def scenes(ingredients: Ingredients) -> Array:
    return compose(ingredients, 32, 160, seed=0, processes=1)


@pytest.fixture(scope="session")
def teacher_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SqueezeNet that has learned nothing, which is as good for all that is asked here."""
    from torchvision.models import squeezenet1_0

    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = squeezenet1_0(weights=None)
    file = tmp_path_factory.mktemp("teacher") / "squeezenet.safetensors"
    save_file(network.state_dict(), file)
    return file


@pytest.fixture(scope="session")
def teacher(teacher_file: Path) -> Teacher:
    return Teacher(teacher_file)
