from __future__ import annotations

import torch
from safetensors import safe_open

from reverie.networks.embedded import FEATURES, NETWORK, WEIGHTS, load
from reverie.networks.loading import load_network
from reverie.testing import check_network


def test_it_keeps_the_contract_of_networks() -> None:
    check_network("embedded")


def test_its_layers_are_named_by_what_they_dream() -> None:
    network = load_network("embedded")
    stages = [name for name in network.layers if "." not in name and name != "trunk"]
    assert stages == list(FEATURES)
    assert network.default_layer == NETWORK.default_layer
    assert [network.layers[name].stride for name in stages] == [4, 8, 8, 8, 8, 16, 16]
    assert [network.layers[name].channels for name in stages] == list(FEATURES.values())


def test_its_weights_fit_float16_and_are_small() -> None:
    assert WEIGHTS.stat().st_size < 6_000_000
    with safe_open(WEIGHTS, "pt") as file:
        for name in file.keys():  # noqa: SIM118 - safe_open is no mapping
            values = file.get_tensor(name)
            assert values.dtype is torch.float16
            assert torch.isfinite(values).all(), name


def test_it_gives_features_that_are_not_negative() -> None:
    with torch.no_grad():
        features = load()(torch.zeros(1, 3, 64, 80))
    assert features.shape == (1, 1000, 4, 5)
    assert float(features.min()) >= 0
    assert float(features.max()) > 0
