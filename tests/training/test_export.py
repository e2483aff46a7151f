from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from torch import nn

from reverie.networks.embedded import FEATURES, EmbeddedNetwork, load
from reverie.training.export import export, features_of, folded

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Trained:
    """A network whose statistics float16 cannot hold, as training makes them."""

    network: EmbeddedNetwork
    checkpoint: Path


def trained(folder: Path) -> Trained:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        network = EmbeddedNetwork(norm=nn.BatchNorm2d)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_var is not None
            module.running_var.fill_(1e6)
            module.weight.data.fill_(900)
    checkpoint = folder / "network.pt"
    torch.save({"average": network.state_dict()}, checkpoint)
    return Trained(network.eval(), checkpoint)


def test_a_variance_too_large_for_float16_is_folded_away(tmp_path: Path) -> None:
    found = trained(tmp_path)
    file = tmp_path / "shipped.safetensors"
    rounding = export(found.checkpoint, file)
    state = load_file(file)
    assert all(torch.isfinite(value).all() for value in state.values())
    assert not any("running" in name for name in state)
    assert set(rounding) == set(FEATURES)
    assert max(rounding.values()) < 0.01


def test_folding_changes_no_feature(tmp_path: Path) -> None:
    found = trained(tmp_path)
    plain = EmbeddedNetwork()
    plain.load_state_dict(folded(found.network))
    image = torch.randn((2, 3, 64, 96), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        right, same = features_of(found.network)(image), features_of(plain.eval())(image)
    for name in FEATURES:
        torch.testing.assert_close(same[name], right[name], rtol=1e-4, atol=1e-4)


def test_what_is_exported_loads_as_the_embedded_network(tmp_path: Path) -> None:
    file = tmp_path / "shipped.safetensors"
    export(trained(tmp_path).checkpoint, file)
    with torch.no_grad():
        things = load(file)(torch.zeros(1, 3, 64, 64))
    assert things.shape == (1, FEATURES["things"], 4, 4)
