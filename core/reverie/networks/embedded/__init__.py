"""The embedded network: it dreams right after installation, without a download.

Made for dreaming: an even-sized stem and average pools leave no checkerboard, and what runs is
smooth everywhere but at its outputs. A trunk of small residual convolutions carries what is seen;
at seven depths a linear map reads features from it, and those are the layers to dream. README.md in
this folder is its card; `reverie.training` is how it was made.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from reverie.networks.weights import load_weights
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
        self.trunk = nn.ModuleList(
            [
                nn.Sequential(
                    _conv(3, 48, norm, size=6, stride=2),
                    _pool(),
                    _conv(48, 64, norm),
                    _Step(64, norm),
                ),
                nn.Sequential(_pool(), _conv(64, 128, norm)),
                _Step(128, norm),
                _Step(128, norm),
                _Step(128, norm),
                nn.Sequential(_pool(), _conv(128, 256, norm), _Step(256, norm)),
            ]
        )
        self.strokes = _features(64, "strokes")
        self.outlines = _features(128, "outlines")
        self.rings = _features(128, "rings")
        self.eyes = _features(128, "eyes")
        self.gazes = _features(128, "gazes")
        self.creatures = _features(256, "creatures")
        self.things = _features(256, "things")

    def see(self, image: Tensor) -> dict[str, Tensor]:
        """Give, by layer, what the trunk carries where the layer reads it."""
        seen = []
        for stage in self.trunk:
            image = stage(image)
            seen.append(image)
        return dict(zip(FEATURES, [*seen, image], strict=True))

    def forward(self, image: Tensor) -> Tensor:
        """Give the deepest layer's features; all layers are computed on the way."""
        features = image
        for name, carried in self.see(image).items():
            features = getattr(self, name)(carried)
        return features


class _Step(nn.Module):
    """Adds to its input what one convolution makes of it (He et al. 2015, with a single one)."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.change = _conv(channels, channels, norm)

    def forward(self, image: Tensor) -> Tensor:
        return image + self.change(image)


def _conv(
    channels_in: int, channels_out: int, norm: Norm, size: int = 3, stride: int = 1
) -> nn.Module:
    bias = norm is nn.Identity  # any other norm has one of its own
    padding = (size - stride) // 2
    convolution = nn.Conv2d(channels_in, channels_out, size, stride, padding, bias=bias)
    return nn.Sequential(convolution, norm(channels_out), nn.SiLU())


def _pool() -> nn.Module:
    return nn.AvgPool2d(4, 2, 1, count_include_pad=False)


def _features(channels_in: int, name: str) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels_in, FEATURES[name], 1), nn.ReLU())


def load(weights: Path | None = None) -> nn.Module:
    """Build the network with its shipped weights, or with others of the same shapes."""
    network = EmbeddedNetwork()
    state: dict[str, Tensor] = load_weights(weights or WEIGHTS)
    network.load_state_dict(state)
    return network


NETWORK = Network(
    name="embedded",
    summary="Ships with reverie and needs no download: eyes and many-eyed creatures. 4 MB.",
    load=load,
    default_layer="creatures",
    source="Trained for reverie; teacher: SqueezeNet 1.0 (BSD).",
    license="MIT",
)
