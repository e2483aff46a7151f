"""Weights as older releases of torchvision had them, which it still reads itself.

Its own files are among them: DenseNet's names date from 2017.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

_DENSE = re.compile(r"(.*denselayer\d+\.(?:norm|conv))\.([12]\.\w+)")
"""A layer of DenseNet before 0.3, whose parts had points in their names: norm.1."""
_MIX = re.compile(r"(encoder_layer_\d+\.mlp)\.linear_([12])\.")
"""A layer of a vision transformer before 0.14."""
_OLD_STEM = 32
"""Channels of MNASNet's first convolution before 0.4, however wide the network was."""


def renamed(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the weights of a network the names of today, as torchvision does for its own files."""
    if name.startswith("densenet"):
        return {_DENSE.sub(r"\1\2", key): value for key, value in state.items()}
    if name.startswith("vit_"):
        return {
            _MIX.sub(lambda found: f"{found[1]}.{'03'[found[2] == '2']}.", key): value
            for key, value in state.items()
        }
    return dict(state)


def with_old_stem(
    module: nn.Module, state: Mapping[str, Tensor], build: Callable[[str], nn.Module]
) -> nn.Module:
    """Give an MNASNet the stem of before 0.4, if the weights are for that.

    torchvision would do so by the version in the file, which not every form of a file has, and
    speak to programmers about it.

    Args:
        module: the network; changed in place.
        state: the weights.
        build: makes a network of torchvision by its name.
    """
    first = state.get("layers.0.weight")
    own: Any = module
    is_old = first is not None and len(first) == _OLD_STEM != own.layers[0].out_channels
    if not is_old:
        return module
    usual: Any = build("mnasnet1_0")  # in which the stem is as wide as it was in all
    block, narrow = usual.layers[8][0].layers, own.layers[8][0].layers
    block[6] = nn.Conv2d(block[6].in_channels, narrow[6].out_channels, 1, bias=False)
    block[7] = narrow[7]
    own.layers[8][0] = usual.layers[8][0]
    for number in range(8):
        own.layers[number] = usual.layers[number]
    return module
