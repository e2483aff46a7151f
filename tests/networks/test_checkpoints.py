"""Weights of torchvision's networks as people have them: cut, wrapped, old, or of another kind.

Most tests need names and shapes only, so that their weights take no memory.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from reverie import ObjectiveError, Recipe, WeightsError, dream
from reverie.ambient import OwnDefaults
from reverie.networks import zoo
from reverie.networks.checkpoints import under_own_names
from reverie.networks.loading import load_network
from reverie.networks.weights import load_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    Loader = Callable[[str, dict[str, Tensor]], nn.Module]

FAMILIES = (
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "swin_v2_t",
    "vgg11_bn",
    "vit_b_32",
)
FILE = Path("people.pth")


@cache
def _module(name: str, classes: int) -> nn.Module:
    quiet = {"init_weights": False} if name in {"googlenet", "inception_v3"} else {}
    return zoo._build(name, {"num_classes": classes, **quiet})


def shapes(name: str, classes: int = 1000) -> dict[str, Tensor]:
    """A state dict of the right names and shapes, all ones, which takes no memory."""
    state = _module(name, classes).state_dict()
    return {key: torch.ones(()).expand(value.shape) for key, value in state.items()}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Loader:
    """Loads a network with weights that are in no file."""

    def load(name: str, state: dict[str, Tensor]) -> nn.Module:
        monkeypatch.setattr(zoo, "load_weights", lambda _path: dict(state))
        with OwnDefaults("cpu"):
            return zoo._load(name, FILE)

    return load


def is_whole(module: nn.Module) -> bool:
    """Every weight is there, in memory or as one number for all."""
    return all(value.device.type == "cpu" for value in module.state_dict().values())


@pytest.mark.parametrize("name", FAMILIES)
def test_another_number_of_classes_fits(name: str, load: Loader) -> None:
    module = load(name, shapes(name, classes=7))
    assert is_whole(module)
    head = module.get_submodule(zoo._head(module))
    assert getattr(head, "out_features", None) == 7 or head.out_channels == 7


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_before_a_missing_head_fits(name: str, load: Loader) -> None:
    part = zoo._head(_module(name, 1000)).partition(".")[0]
    state = {key: v for key, v in shapes(name).items() if not key.startswith(f"{part}.")}
    assert is_whole(load(name, state))


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
@pytest.mark.parametrize("prefix", ["", "model."])
def test_networks_without_helpers_for_training_fit(name: str, prefix: str, load: Loader) -> None:
    state = shapes(name)
    helpers = [key for key in state if key.lower().startswith("aux")]
    assert helpers
    for key in helpers:
        del state[key]
    assert is_whole(load(name, {prefix + key: value for key, value in state.items()}))


@pytest.mark.parametrize("prefix", ["module.", "model.", "backbone.", "net.", "encoder.", "a.b."])
def test_a_word_before_all_names_is_taken_away(prefix: str, load: Loader) -> None:
    state = {prefix + key: value for key, value in shapes("resnet18", classes=7).items()}
    assert is_whole(load("resnet18", state))
    assert is_whole(load("resnet18", {**state, "loss.weight": torch.ones(3), "n": torch.ones(())}))


def test_a_word_is_taken_away_only_where_more_names_are_found_then() -> None:
    needed = ["conv.weight", "model.conv.weight", "head.weight"]
    state = {key: torch.ones(1) for key in needed}
    assert under_own_names(state, needed) == state
    assert under_own_names(state, ["other"]) == state
    assert under_own_names(state, []) == state
    assert under_own_names({}, needed) == {}
    wrapped = {f"student.{key}": value for key, value in state.items()}
    teacher = {f"teacher.{key}": torch.zeros(1) for key in needed[:1]}
    assert under_own_names({**teacher, **wrapped}, needed) == state


@pytest.mark.parametrize(
    ("name", "channels"),
    [("resnet18", 1), ("densenet121", 4), ("vit_b_32", 1), ("swin_t", 4), ("squeezenet1_1", 2)],
)
def test_other_channels_are_said_in_a_sentence(name: str, channels: int, load: Loader) -> None:
    state = shapes(name)
    first = next(key for key, value in state.items() if value.ndim == 4)
    shape = list(state[first].shape)
    shape[1] = channels
    state[first] = torch.ones(()).expand(shape)
    said = rf"they are for pictures of {channels} channels?, and here a picture has 3, red"
    with pytest.raises(WeightsError, match=said):
        load(name, state)


@pytest.mark.parametrize(
    ("weights", "name"),
    [
        ("resnet34", "resnet18"),
        ("resnet18", "vgg11"),
        ("vgg11_bn", "vgg11"),
        ("densenet169", "densenet121"),
        ("squeezenet1_0", "squeezenet1_1"),
        ("mnasnet1_0", "mnasnet0_5"),
        ("shufflenet_v2_x1_0", "shufflenet_v2_x0_5"),
    ],
)
def test_weights_of_another_network_are_refused_shortly(
    weights: str, name: str, load: Loader
) -> None:
    with pytest.raises(WeightsError, match=f"the weights 'people.pth' do not fit.*{name}") as said:
        load(name, shapes(weights))
    assert len(str(said.value)) < 300
    assert str(said.value).endswith(".")


def test_half_a_network_is_refused(load: Loader) -> None:
    state = dict(list(shapes("resnet18").items())[:50])
    with pytest.raises(WeightsError, match=r"\d+ of 122 are missing, layer"):
        load("resnet18", state)
    with pytest.raises(WeightsError, match="missing"):
        load("resnet18", {})


def test_names_in_a_file_cannot_steer_a_terminal(load: Loader) -> None:
    state = {**shapes("squeezenet1_1"), "\x1b[2J\u202e.weight" * 50: torch.ones(1)}
    with pytest.raises(WeightsError) as said:
        load("squeezenet1_1", state)
    assert str(said.value).isprintable()
    assert len(str(said.value)) < 300


# What torchvision itself still reads


def old_dense(key: str) -> str:
    return re.sub(r"(denselayer\d+)\.(norm|conv)([12])", r"\1.\2.\3", key)


def old_mix(key: str) -> str:
    return key.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2.")


@pytest.mark.parametrize(("name", "old"), [("densenet121", old_dense), ("vit_b_32", old_mix)])
def test_names_of_older_releases_are_understood(
    name: str, old: Callable[[str], str], load: Loader
) -> None:
    state = shapes(name)
    renamed = {f"module.model.{old(key)}": value for key, value in state.items()}
    assert load(name, renamed).state_dict().keys() == state.keys()


def test_weights_from_before_batches_were_counted_fit(load: Loader) -> None:
    state = shapes("resnet18")
    counted = [key for key in state if key.endswith("num_batches_tracked")]
    assert counted
    for key in counted:
        del state[key]
    assert is_whole(load("resnet18", state))


def test_mnasnets_first_layers_may_be_of_before_they_grew_with_the_rest(load: Loader) -> None:
    """torchvision builds it with the version that a file says, and so it is compared here."""
    from torchvision.models import get_model

    theirs = get_model("mnasnet0_5", weights=None, num_classes=7)
    first: dict[str, Tensor] = {}
    with pytest.warns(UserWarning, match="new version of MNASNet"):
        theirs._load_from_state_dict({}, "", {"version": 1}, False, [], [], [])
    generator = torch.Generator().manual_seed(0)
    for key, value in theirs.state_dict().items():
        first[key] = torch.rand(value.shape, generator=generator).to(value.dtype)
    for key, value in theirs.state_dict().items():
        value.copy_(first[key])
    module = load("mnasnet0_5", first).eval()
    image = torch.rand(1, 3, 64, 64, generator=generator)
    with torch.no_grad():
        assert torch.equal(module(image), theirs.eval()(image))


# Files


def test_a_real_file_without_a_head_dreams_and_says_what_it_cannot(
    tmp_path: Path, picture: Tensor
) -> None:
    from torchvision.models import get_model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = get_model("squeezenet1_1", weights=None)
    state = {f"model.{k}": v.half() for k, v in module.state_dict().items() if "classif" not in k}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "a.ckpt")
    name = f"squeezenet1_1:{tmp_path / 'a.ckpt'}"
    recipe = Recipe(network=name, octaves=1, steps=1, precision="float32")
    assert not torch.equal(dream(picture, recipe, device="cpu"), picture)
    assert load_network(name).words == ()
    with pytest.raises(ObjectiveError, match="tabby"):
        dream(picture, recipe.evolve(objective='logit("tabby")'), device="cpu")


def test_the_embedded_network_takes_weights_out_of_a_checkpoint(tmp_path: Path) -> None:
    from reverie.networks.embedded import WEIGHTS

    own = load_weights(WEIGHTS)
    state = {f"model.{key}": value for key, value in own.items()}
    torch.save({"state_dict": state}, tmp_path / "a.ckpt")
    loaded = load_network(f"embedded:{tmp_path / 'a.ckpt'}")
    assert loaded.digest == load_network("embedded").digest
    torch.save(dict(list(own.items())[:5]), tmp_path / "b.pth")
    with pytest.raises(WeightsError, match=r"embedded.*\d+ of \d+ (weights )?are missing"):
        load_network(f"embedded:{tmp_path / 'b.pth'}")
