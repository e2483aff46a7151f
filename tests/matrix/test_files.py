"""Weights in the forms that people have, and networks that cannot dream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.matrix.networks_of_people import REFUSED
from tests.matrix.reference import Plain
from tests.matrix.scenes import waves
from tests.matrix.test_matrix import compared
from tests.matrix.torchvision_families import module_of, save_weights

from reverie import Recipe, ReverieError, dream
from reverie.device import own_grad_mode
from reverie.engine.prepare import prepare
from reverie.types import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

NAME, HEAD, CLASSES = "shufflenet_v2_x0_5", "fc", 7


def prefixed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"module.{name}": value for name, value in state.items()}


def halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: value.half() if value.is_floating_point() else value for name, value in state.items()
    }


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """Weights of a network that somebody has trained on seven classes."""
    path = tmp_path_factory.mktemp("seven") / "weights.safetensors"
    save_weights(NAME, path, waves((96, 128), 5), num_classes=CLASSES)
    return load_file(path)


@pytest.mark.parametrize(
    ("suffix", "save"),
    [
        ("safetensors", lambda state, path: save_file(prefixed(halved(state)), path)),
        ("pth", lambda state, path: torch.save({"epoch": 3, "state_dict": prefixed(state)}, path)),
        ("pt", lambda state, path: torch.save({"model": halved(state)}, path)),
        ("bin", torch.save),
    ],
)
def test_weights_of_seven_classes_in_the_forms_that_people_have(
    state: dict[str, Tensor], tmp_path: Path, suffix: str, save: Callable[..., Any]
) -> None:
    path, picture = tmp_path / f"mine.{suffix}", waves((96, 120), 1)
    save(state, path)
    recipe = Recipe(network=f"{NAME}:{path}", objective="logit(6)", precision="float32")
    with own_grad_mode():
        values, gradient = prepare(recipe, torch.device("cpu")).gradient(picture, (0, 0))
        module = module_of(NAME, num_classes=CLASSES)
        module.load_state_dict(halved(state) if suffix in {"safetensors", "pt"} else state)
        leaf = picture.double().requires_grad_()
        plain = Plain(module.double(), torch.float64, IMAGENET_MEAN, IMAGENET_STD)
        exact = plain.see(leaf, [HEAD])[HEAD][:, 6].sum()
        (expected,) = torch.autograd.grad(exact, leaf)
    cosine, ratio = compared(gradient, expected)
    assert cosine > 0.9995
    assert ratio == pytest.approx(1, abs=0.02)
    assert float(values) == pytest.approx(float(exact.detach()), rel=1e-3)


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_that_cannot_dream_is_refused_with_a_sentence(name: str) -> None:
    recipe = Recipe(network=name, objective="last", octaves=1, steps=1)
    with pytest.raises(ReverieError, match=REFUSED[name][1]) as caught:
        dream(waves((64, 64), 1), recipe, device="cpu")
    assert "\n" not in str(caught.value)
