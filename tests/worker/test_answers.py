"""What a worker tells of what is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from tests.worker.client import RefusedError

import reverie
from reverie.networks.layers import find_layers
from reverie.networks.loading import list_layers, load_network
from reverie.networks.zoo import networks

if TYPE_CHECKING:
    from tests.worker.conftest import Worker


def test_the_catalogue_lists_what_is_installed(worker: Worker) -> None:
    said = worker.ask(do="catalogue")
    registry = reverie.registry()
    assert [n["name"] for n in said["networks"]] == list(registry.networks())
    assert [p["name"] for p in said["presets"]] == list(registry.presets())
    assert [p["name"] for p in said["parameterizations"]] == list(registry.parameterizations())
    assert len(said["objectives"]) == len(registry.objectives())
    assert said["networks"][0] == {
        "name": "embedded",
        "summary": registry.networks()["embedded"].summary,
        "default_layer": "creatures",
        "download": False,
    }
    assert "channel(name, index)" in [each["call"] for each in said["objectives"]]
    vivid = next(preset for preset in said["presets"] if preset["name"] == "vivid")
    assert reverie.Recipe(**vivid["recipe"]) == registry.presets()["vivid"].recipe


def test_layers_are_listed_in_order(worker: Worker) -> None:
    said = worker.ask(do="layers", network="embedded")
    known = load_network("embedded").layers.values()
    assert said["default"] == "creatures"
    assert said["layers"] == [
        {"name": layer.name, "channels": layer.channels, "stride": layer.stride} for layer in known
    ]


def test_layers_need_no_weights(worker: Worker) -> None:
    said = worker.ask(do="layers", network="googlenet")
    assert said["default"] == "inception4c"
    assert {"name": "inception4c", "channels": 512, "stride": 16} in said["layers"]


@pytest.mark.parametrize(
    ("network", "words"),
    [("googelnet", "did you mean 'googlenet'"), (None, "network: None is not a name")],
)
def test_layers_of_nothing_are_refused(worker: Worker, network: object, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        worker.ask(do="layers", network=network)


def test_layers_that_only_weights_can_show_are_not_downloaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from reverie.networks.weights import WeightsSource
    from reverie.plugins import Registry

    def source() -> WeightsSource:
        return WeightsSource("https://example.org/mine.pth", "00" * 32)

    class Plugin:
        @reverie.hookimpl
        def reverie_networks(self) -> list[reverie.Network]:
            return [
                reverie.Network(name="mine", summary=".", load=lambda _path: None, weights=source)  # type: ignore[arg-type,return-value]
            ]

    registry = Registry([("mine", Plugin())], installed=[])
    monkeypatch.setattr("reverie.networks.loading.registry", lambda: registry)
    with pytest.raises(reverie.NetworkError, match="run: reverie networks fetch mine"):
        list_layers("mine")


@pytest.mark.parametrize(
    "name",
    [
        "alexnet",
        "convnext_tiny",
        "densenet121",
        "efficientnet_b0",
        "googlenet",
        "inception_v3",
        "mnasnet0_5",
        "mobilenet_v3_small",
        "regnet_y_400mf",
        "resnet18",
        "shufflenet_v2_x0_5",
        "squeezenet1_1",
        "swin_v2_t",
        "vgg11_bn",
        "vit_b_32",
    ],
)
def test_layers_without_weights_are_those_with_weights(name: str) -> None:
    from reverie.networks import zoo

    record = next(network for network in networks() if network.name == name)
    with torch.device("cpu"):
        module = zoo._build(name, zoo._options(name, {"aux": None})).eval()
        zeros = {
            key: torch.zeros(value.shape, dtype=value.dtype)
            for key, value in module.state_dict().items()
        }
        module.load_state_dict(zoo._versioned(zeros, module), assign=True)
    assert zoo.untrained_layers(record) == find_layers(module, record.window)


def test_the_one_network_for_larger_pictures_than_its_own_default_is_built_for_them() -> None:
    layers, default = list_layers("vit_h_14")
    assert layers[default].channels == 1280
