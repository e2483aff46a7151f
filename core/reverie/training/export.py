"""Makes the file that ships: BatchNorm folded into the convolutions, then rounded to float16."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

from reverie.networks.embedded import FEATURES, EmbeddedNetwork
from reverie.training.matching import read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor


@torch.no_grad()
def export(checkpoint: Path, file: Path) -> dict[str, float]:
    """Write the averaged network of a checkpoint as safetensors.

    Folding comes first: the variances that BatchNorm keeps can exceed what float16 holds.

    Returns:
        By layer, how far rounding moved its features on noise, relative to their length.
    """
    from safetensors.torch import save_file

    trained = averaged(checkpoint)
    network = EmbeddedNetwork()
    network.load_state_dict(folded(trained))
    state = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    new = file.with_suffix(".new")
    save_file(state, new)
    new.replace(file)
    rounded = EmbeddedNetwork()
    rounded.load_state_dict({name: value.float() for name, value in state.items()})
    noise = torch.randn((1, 3, 128, 128), generator=torch.Generator().manual_seed(0))
    right, found = features_of(trained)(noise), features_of(rounded.eval())(noise)
    return {
        name: float((found[name] - right[name]).norm() / right[name].norm()) for name in FEATURES
    }


def averaged(checkpoint: Path) -> EmbeddedNetwork:
    """Read the averaged network of a checkpoint, its BatchNorm not yet folded, to be used."""
    network = EmbeddedNetwork(norm=nn.BatchNorm2d)
    found = torch.load(checkpoint, weights_only=True, map_location="cpu")
    network.load_state_dict(found["average"])
    return network.eval().requires_grad_(requires_grad=False)


def folded(network: EmbeddedNetwork) -> dict[str, Tensor]:
    """Give the state of the same network without BatchNorm."""
    state = dict(network.state_dict())
    for name, norm in network.named_modules():
        if isinstance(norm, nn.BatchNorm2d):
            before = name.removesuffix("1") + "0"
            whole = fuse_conv_bn_eval(cast("nn.Conv2d", network.get_submodule(before)), norm)
            state = {key: value for key, value in state.items() if not key.startswith(f"{name}.")}
            state |= {f"{before}.{key}": value for key, value in whole.state_dict().items()}
    return state


def features_of(network: EmbeddedNetwork) -> Callable[[Tensor], Mapping[str, Tensor]]:
    """Give a function from pictures to all features, after their ReLU, by layer."""

    def features(image: Tensor) -> Mapping[str, Tensor]:
        seen = network.see(image)
        return {name: read(network, name, carried).relu() for name, carried in seen.items()}

    return features
