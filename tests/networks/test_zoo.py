from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file

from reverie import Recipe, WeightsError, dream
from reverie.networks import zoo
from reverie.networks.loading import load_network
from reverie.types import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    from pathlib import Path

NETWORKS = {network.name: network for network in zoo.networks()}


def test_the_names_are_those_of_torchvision() -> None:
    from torchvision import models

    assert sorted(NETWORKS) == sorted(models.list_models(module=models))


def test_every_network_says_where_its_weights_are() -> None:
    for network in NETWORKS.values():
        assert network.weights is not None
        source = network.weights()
        assert source.url.startswith("https://download.pytorch.org/models/")


def _quiet(name: str) -> dict[str, object]:
    """These two warn unless they are told whether to draw random weights."""
    return {"init_weights": False} if name in {"googlenet", "inception_v3"} else {}


def random_weights(name: str, folder: Path, **options: object) -> str:
    """A weights file of the right shapes, so that a network can be tested without a download."""
    from torchvision.models import get_model

    generator = torch.Generator().manual_seed(0)
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        empty = get_model(name, weights=None, **_quiet(name), **options)
    state = {}
    for key, value in empty.state_dict().items():
        inputs = max(1, value[0].numel()) if value.ndim > 1 else 1
        random = torch.randn(value.shape, generator=generator) * (2 / inputs) ** 0.5
        state[key] = (random if value.ndim > 1 else torch.ones(value.shape)).to(value.dtype)
    save_file(state, folder / f"{name}.safetensors")
    return f"{name}:{folder / name}.safetensors"


FAMILIES = (
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "swin_v2_t",
    "vgg11_bn",
    "vit_b_32",
)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_its_default_layer_and_a_gradient(name: str, tmp_path: Path) -> None:
    full = random_weights(name, tmp_path)
    network = load_network(full)
    layer = network.layer(NETWORKS[name].default_layer)
    assert layer.channels > 1
    image = torch.rand(1, 3, 150, 170, generator=torch.Generator().manual_seed(0))
    recipe = Recipe(network=full, octaves=1, steps=1, precision="float32")
    moved = dream(image, recipe)
    assert moved.shape == image.shape
    assert float((moved - image).abs().mean()) > 0


def test_every_default_layer_exists() -> None:
    from torchvision.models import get_model

    for name, network in NETWORKS.items():
        if name.startswith("regnet") and name != "regnet_x_400mf":
            continue  # all alike, and slow to build: RegNet needs real tensors
        with torch.device("cpu" if name.startswith("regnet") else "meta"):
            module = get_model(name, weights=None, **_quiet(name))
        path = network.aliases.get(network.default_layer, network.default_layer)
        module.get_submodule(path)
        for alias, target in network.aliases.items():
            module.get_submodule(target)
            assert alias != target


@pytest.mark.parametrize(
    ("network", "alias", "kind"),
    [
        ("vgg16", "relu4_3", "ReLU"),
        ("vgg19_bn", "conv5_4", "Conv2d"),
        ("vgg11", "pool1", "MaxPool2d"),
        ("squeezenet1_0", "fire8", "Fire"),
        ("squeezenet1_1", "fire2", "Fire"),
    ],
)
def test_names_from_the_papers_lead_to_the_right_kind(network: str, alias: str, kind: str) -> None:
    from torchvision.models import get_model

    with torch.device("meta"):
        module = get_model(network, weights=None)
    part = module.get_submodule(NETWORKS[network].aliases[alias])
    assert type(part).__name__ == kind


@pytest.mark.parametrize("memory", [None, 500_000_000])
def test_a_name_from_a_paper_can_be_dreamed(tmp_path: Path, memory: int | None) -> None:
    full = random_weights("squeezenet1_1", tmp_path)
    image = torch.rand(1, 3, 80, 90, generator=torch.Generator().manual_seed(0))
    recipe = Recipe(network=full, objective="fire4 + fire6", octaves=1, steps=1)
    alias = dream(image, recipe, memory=memory)
    paths = recipe.evolve(objective="layer('features.6') + layer('features.9')")
    assert torch.equal(alias, dream(image, paths, memory=memory))


def test_relu4_3_of_vgg16_is_where_everybody_says() -> None:
    assert NETWORKS["vgg16"].aliases["relu4_3"] == "features.22"


def test_weights_with_another_number_of_classes_load(tmp_path: Path) -> None:
    full = random_weights("resnet18", tmp_path, num_classes=365)
    assert load_network(full).layers["fc"].channels == 365


def test_weights_of_another_network_are_refused_in_a_sentence(tmp_path: Path) -> None:
    full = random_weights("resnet18", tmp_path)
    with pytest.raises(WeightsError, match=r"do not fit the network 'vgg11'"):
        load_network(full.replace("resnet18:", "vgg11:"))


def test_the_real_squeezenet_is_what_it_says(squeezenet: str) -> None:
    network = load_network(squeezenet)
    assert network.default_layer == "features.10"
    assert network.layer("fire8").receptive_field == 107
    assert network.layers["classifier.1"].channels == 1000


def test_pictures_are_normalised_as_the_weights_expect() -> None:
    from torchvision.models import get_model_weights

    undo_it = {"googlenet", "inception_v3"}
    for name, network in NETWORKS.items():
        if name in undo_it:
            assert list(network.mean) == list(network.std) == [0.5] * 3, name
            continue
        transforms = get_model_weights(name).DEFAULT.transforms()
        assert list(network.mean) == list(transforms.mean), name
        assert list(network.std) == list(transforms.std), name


def test_googlenet_sees_what_torchvision_shows_it(tmp_path: Path, picture: torch.Tensor) -> None:
    from torchvision.models import get_model

    name = random_weights("googlenet", tmp_path)
    theirs = get_model("googlenet", weights=None, transform_input=True, init_weights=False).eval()
    theirs.load_state_dict(load_file(name.partition(":")[2]))
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        expected = theirs.conv1(theirs._transform_input((picture - mean) / std))
    ready = load_network(name).prepare(["conv1"], torch.device("cpu"), torch.float32)
    assert torch.allclose(ready(picture)["conv1"], expected, atol=1e-4)
