"""The embedded network: it dreams right after installation, without a download.

Made for dreaming: an even-sized stem and average pools leave no checkerboard, and what runs is
smooth everywhere but at its outputs. A trunk of small residual convolutions carries what is seen;
at seven depths a linear map reads features from it, and those are the layers to dream. README.md in
this folder is its card; `reverie.training` is how it was made.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from reverie.networks.checkpoints import under_own_names
from reverie.networks.fitting import fit_weights
from reverie.networks.pooling import EnergyPool2d
from reverie.networks.weights import load_weights
from reverie.networks.zoo import class_words
from reverie.types import Network

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Norm = Callable[[int], nn.Module]

WEIGHTS = Path(__file__).with_name("embedded.safetensors")
"""The shipped weights: float16, BatchNorm already folded into the convolutions."""

FEATURES = {
    "strokes": 128,
    "outlines": 256,
    "rings": 256,
    "eyes": 384,
    "gazes": 512,
    "creatures": 512,
    "things": 1000,
}
"""The layers, from the lowest to the deepest, and how many channels each has."""


class EmbeddedNetwork(nn.Module):
    """Seven layers, from brush strokes to creatures, each named by what it dreams.

    Input (N, 3, H, W), ImageNet-normalised. Layers give non-negative features at a stride of 4 px
    (`strokes`), 16 px (`creatures`, `things`) and 8 px (the others).
    """

    def __init__(self, norm: Norm = nn.Identity) -> None:
        """Build it with random weights.

        Args:
            norm: makes what follows each convolution of the trunk, from its channels; training puts
                BatchNorm there.
        """
        super().__init__()
        begin = nn.Sequential(
            _conv(3, 32, norm, size=6, stride=2), EnergyPool2d(), _conv(32, 96, norm)
        )
        self.trunk = nn.ModuleList(
            [
                nn.Sequential(begin, _Step(96, 32, norm), _Mix(96, 64, norm)),
                nn.Sequential(_Halve(96, 64, 256, norm), _Step(256, 48, norm)),
                _Step(256, 48, norm),
                _Step(256, 48, norm),
                _Step(256, 48, norm),
                nn.Sequential(_Halve(256, 128, 320, norm), _Step(320, 80, norm)),
                _Step(320, 80, norm),
            ]
        )
        self.strokes = _features(96, "strokes")
        self.outlines = _features(256, "outlines")
        self.rings = _features(256, "rings")
        self.eyes = _features(256, "eyes")
        self.gazes = _features(256, "gazes")
        self.creatures = _features(320, "creatures")
        self.things = _features(320, "things")

    def see(self, image: Tensor) -> dict[str, Tensor]:
        """Give, by layer, what the trunk carries where the layer reads it."""
        seen = {}
        for name, stage in zip(FEATURES, self.trunk, strict=True):
            image = stage(image)
            seen[name] = image
        return seen

    def forward(self, image: Tensor) -> Tensor:
        """Give the deepest layer's features; all layers are computed on the way."""
        features = image
        for name, carried in self.see(image).items():
            features = getattr(self, name)(carried)
        return features


class _Step(nn.Module):
    """Adds to its input what a convolution makes of a few mixtures of it (He et al. 2015).

    A wide stream and narrow convolutions, as in the teacher's fire modules: of two trunks that cost
    the same, a wide one learns far faster (README.md has the numbers).
    """

    def __init__(self, channels: int, narrow: int, norm: Norm) -> None:
        super().__init__()
        self.change = nn.Sequential(
            _conv(channels, narrow, norm, size=1), _conv(narrow, channels, norm)
        )

    def forward(self, image: Tensor) -> Tensor:
        changed: Tensor = image + self.change(image)
        return changed


class _Mix(nn.Module):
    """Adds to its input what two layers of neurons make of each place alone."""

    def __init__(self, channels: int, wide: int, norm: Norm) -> None:
        super().__init__()
        back = nn.Sequential(nn.Conv2d(wide, channels, 1, bias=_biased(norm)), norm(channels))
        self.change = nn.Sequential(_conv(channels, wide, norm, size=1), back)

    def forward(self, image: Tensor) -> Tensor:
        changed: Tensor = image + self.change(image)
        return changed


class _Halve(nn.Module):
    """Halves the sides: of the stream it keeps the mean, of what neurons make of it the energy."""

    def __init__(self, channels: int, neurons: int, channels_out: int, norm: Norm) -> None:
        super().__init__()
        self.mean = _pool()
        self.energy = nn.Sequential(_conv(channels, neurons, norm, size=1), EnergyPool2d())
        self.join = _conv(channels + neurons, channels_out, norm, size=1)

    def forward(self, image: Tensor) -> Tensor:
        halved: Tensor = self.join(torch.cat([self.mean(image), self.energy(image)], dim=1))
        return halved


def _conv(
    channels_in: int, channels_out: int, norm: Norm, size: int = 3, stride: int = 1
) -> nn.Module:
    padding = (size - stride) // 2
    convolution = nn.Conv2d(channels_in, channels_out, size, stride, padding, bias=_biased(norm))
    return nn.Sequential(convolution, norm(channels_out), nn.SiLU())


def _biased(norm: Norm) -> bool:
    return norm is nn.Identity  # any other norm has a bias of its own


def _pool() -> nn.Module:
    return nn.AvgPool2d(4, 2, 1, count_include_pad=False)


def _features(channels_in: int, name: str) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels_in, FEATURES[name], 1), nn.ReLU())


def load(weights: Path | None = None) -> nn.Module:
    """Build the network with its shipped weights, or with others of the same shapes."""
    network = EmbeddedNetwork()
    path = weights or WEIGHTS
    state = under_own_names(load_weights(path), network.state_dict())
    fit_weights(network, state, NETWORK.name, path)
    return network


NETWORK = Network(
    name="embedded",
    summary="Ships with reverie and needs no download: from brush strokes to creatures. 4 MB.",
    head="things.0",
    words=partial(class_words, "squeezenet1_0"),
    load=load,
    default_layer="creatures",
    source="Trained for reverie; teacher: SqueezeNet 1.0 (BSD).",
    license="MIT",
)
