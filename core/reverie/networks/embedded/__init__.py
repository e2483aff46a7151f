"""The embedded network: it dreams right after installation, without a download.

Made for dreaming: an even-sized stem and average pools leave no checkerboard, and every stage ends
in a linear map to one feature a channel. README.md in this folder says how it was trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from reverie.networks.weights import load_weights
from reverie.types import Network

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = Path(__file__).with_name("embedded.safetensors")
"""The shipped weights: float16, BatchNorm already folded into the convolutions."""


def _conv(channels_in: int, channels_out: int, size: int = 3, stride: int = 1) -> nn.Module:
    padding = (size - stride) // 2
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, size, stride, padding), nn.SiLU())


def _pool() -> nn.Module:
    return nn.AvgPool2d(4, 2, 1, count_include_pad=False)


def _features(channels_in: int, channels_out: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 1), nn.ReLU())


class EmbeddedNetwork(nn.Sequential):
    """Five stages, from outlines to creatures, each named by what it dreams.

    Input (N, 3, H, W), ImageNet-normalised. Stages give non-negative features at a stride of 8 px,
    the last at 16 px.
    """

    def __init__(self) -> None:
        super().__init__()
        self.outlines = nn.Sequential(
            _conv(3, 48, 6, stride=2),
            _pool(),
            _conv(48, 64),
            _conv(64, 64),
            _pool(),
            _conv(64, 160),
            _features(160, 256),
        )
        self.rings = nn.Sequential(_conv(256, 64, 1), _conv(64, 128), _features(128, 256))
        self.eyes = nn.Sequential(
            _conv(256, 64, 1), _conv(64, 96), _conv(96, 128), _features(128, 384)
        )
        self.gazes = nn.Sequential(_conv(384, 96, 1), _conv(96, 160), _features(160, 512))
        self.creatures = nn.Sequential(
            _pool(), _conv(512, 128, 1), _conv(128, 192), _features(192, 512)
        )


def load(weights: Path | None = None) -> nn.Module:
    """Build the network with its shipped weights, or with others of the same shapes."""
    network = EmbeddedNetwork()
    state: dict[str, Tensor] = load_weights(weights or WEIGHTS)
    network.load_state_dict(state)
    return network


NETWORK = Network(
    name="embedded",
    summary="Ships with reverie and needs no download: eyes and many-eyed creatures. 2.4 MB.",
    load=load,
    default_layer="creatures",
    source="Trained for reverie; teacher: SqueezeNet 1.0 (BSD).",
    license="MIT",
)
