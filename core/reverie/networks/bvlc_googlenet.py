"""BVLC GoogLeNet: the network with which DeepDream began in 2015.

Berkeley's replication in Caffe of GoogLeNet (Szegedy et al. 2015), which google/deepdream dreams
with. torchvision's googlenet is another one: it has BatchNorm, no normalisation across channels,
and other weights. Layers carry the names of Caffe's deploy.prototxt.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from reverie.errors import WeightsError
from reverie.networks.fitting import fit_weights
from reverie.networks.weights import WeightsSource, load_weights
from reverie.networks.zoo import class_words
from reverie.types import Network

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

_CLASSES = 1000
_FEATURES = 1024
"""What the classifier reads."""
_STEM = ("conv1/7x7_s2", "conv2/3x3_reduce", "conv2/3x3")
_POOLS = ("pool1/3x3_s2", "pool1/norm1", "conv2/norm2", "pool2/3x3_s2", "pool5/7x7_s1")
_PARTS = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")
"""The convolutions of an inception module."""
_INCEPTIONS = {
    # channels of those convolutions
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""The inception modules (Szegedy et al. 2015, table 1)."""
_POOLED = {"3b": "pool3/3x3_s2", "4e": "pool4/3x3_s2"}
"""The pools that follow some of them."""
_FIRST, _LAST = "conv1/7x7_s2", "loss3/classifier"


class BvlcGoogLeNet(nn.ModuleDict):
    """The layers by their names in Caffe, and how they follow each other.

    Input (N, 3, H, W): red, green, blue in 0..255, less the mean (123, 117, 104). Output (N,
    classes), before the softmax. The two classifiers that only helped training are left out.
    """

    def __init__(self, classes: int = _CLASSES) -> None:
        """Build it with random weights."""
        super().__init__()
        self._add(_FIRST, 3, 64, size=7, stride=2)
        self["pool1/3x3_s2"] = _halve()
        self["pool1/norm1"] = _normalise()
        self._add("conv2/3x3_reduce", 64, 64)
        self._add("conv2/3x3", 64, 192, size=3)
        self["conv2/norm2"] = _normalise()
        self["pool2/3x3_s2"] = _halve()
        channels = 192
        for name, widths in _INCEPTIONS.items():
            channels = self._add_inception(f"inception_{name}", channels, widths)
            if name in _POOLED:
                self[_POOLED[name]] = _halve()
        self["pool5/7x7_s1"] = nn.AdaptiveAvgPool2d(1)  # 7 px are all that is left of 224
        self[_LAST] = nn.Linear(_FEATURES, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of the classes."""
        image = self["pool1/norm1"](self["pool1/3x3_s2"](self._see(_FIRST, image)))
        image = self._see("conv2/3x3", self._see("conv2/3x3_reduce", image))
        image = self["pool2/3x3_s2"](self["conv2/norm2"](image))
        for name in _INCEPTIONS:
            image = self._see_inception(f"inception_{name}", image)
            if name in _POOLED:
                image = self[_POOLED[name]](image)
        logits: Tensor = self[_LAST](self["pool5/7x7_s1"](image).flatten(1))
        return logits

    def _add_inception(self, name: str, channels: int, widths: Sequence[int]) -> int:
        alone, reduce_3, wide_3, reduce_5, wide_5, pooled = widths
        self._add(f"{name}/1x1", channels, alone)
        self._add(f"{name}/3x3_reduce", channels, reduce_3)
        self._add(f"{name}/3x3", reduce_3, wide_3, size=3)
        self._add(f"{name}/5x5_reduce", channels, reduce_5)
        self._add(f"{name}/5x5", reduce_5, wide_5, size=5)
        self[f"{name}/pool"] = nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True)
        self._add(f"{name}/pool_proj", channels, pooled)
        self[f"{name}/output"] = _Concat()
        return alone + wide_3 + wide_5 + pooled

    def _see_inception(self, name: str, image: Tensor) -> Tensor:
        joined: Tensor = self[f"{name}/output"](
            self._see(f"{name}/1x1", image),
            self._see(f"{name}/3x3", self._see(f"{name}/3x3_reduce", image)),
            self._see(f"{name}/5x5", self._see(f"{name}/5x5_reduce", image)),
            self._see(f"{name}/pool_proj", self[f"{name}/pool"](image)),
        )
        return joined

    def _add(
        self, name: str, channels_in: int, channels_out: int, *, size: int = 1, stride: int = 1
    ) -> None:
        self[name] = nn.Conv2d(channels_in, channels_out, size, stride, padding=size // 2)
        self[_relu(name)] = nn.ReLU()

    def _see(self, name: str, image: Tensor) -> Tensor:
        activation: Tensor = self[_relu(name)](self[name](image))
        return activation


class _Concat(nn.Module):
    """Joins the channels of an inception module's branches."""

    def forward(self, *branches: Tensor) -> Tensor:
        return torch.cat(branches, dim=1)


def _relu(name: str) -> str:
    """Name the ReLU after a convolution as Caffe does: "conv1/relu_7x7" after "conv1/7x7_s2"."""
    stage, _, part = name.partition("/")
    return f"{stage}/relu_{part.removesuffix('_s2')}"


def _halve() -> nn.Module:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)  # Caffe rounds sizes up


def _normalise() -> nn.Module:
    return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)  # alpha / size, in Caffe as here


def _aliases() -> dict[str, str]:
    """Short names of the modules' outputs, and every name as a word of an objective: with "_"."""
    convolutions = [*_STEM, *(f"inception_{n}/{part}" for n in _INCEPTIONS for part in _PARTS)]
    names = [*convolutions, *map(_relu, convolutions), *_POOLS, *_POOLED.values(), _LAST]
    names += [f"inception_{name}/{part}" for name in _INCEPTIONS for part in ("pool", "output")]
    aliases = {name.replace("/", "_"): name for name in names}
    return aliases | {name: f"inception_{name}/output" for name in _INCEPTIONS}


def _source() -> WeightsSource:
    """Say what Caffe's model zoo says, in models/bvlc_googlenet/readme.md of BVLC/caffe."""
    return WeightsSource(
        "http://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel",
        sha1="405fc5acd08a3bb12de8ee5e23a96bec22f08204",
    )


def _load(path: Path | None) -> nn.Module:
    """Build it with the weights of a .caffemodel, or of a file that has them by the same names.

    Those may have "_" for "/", as converters to PyTorch write them, and any number of classes.
    """
    if path is None:
        raise WeightsError(
            "bvlc_googlenet: no weights were given; use --network bvlc_googlenet:FILE."
        )
    given = {_plain(key): value for key, value in load_weights(path).items()}
    head = given.get(_plain(f"{_LAST}.weight"))
    module = BvlcGoogLeNet(_CLASSES if head is None else max(1, head.numel() // _FEATURES))
    keys = module.state_dict()
    state = {key: given[_plain(key)] for key in keys if _plain(key) in given}
    fit_weights(module, state, NETWORK.name, path)
    first = module.get_parameter(f"{_FIRST}.weight")
    with torch.no_grad():
        first.copy_(first.flip(1))  # Caffe's pictures are blue, green, red
    return module


def _plain(key: str) -> str:
    """Write the name of weights in the one way that all its ways lead to."""
    layer, _, kind = key.replace("/", "_").rpartition(".")
    return f"{layer.removesuffix('_1')}.{kind}"  # a converter counts two classifiers


NETWORK = Network(
    name="bvlc_googlenet",
    summary="GoogLeNet as Caffe had it: the network, and the look, of DeepDream in 2015.",
    load=_load,
    weights=_source,
    mean=(123 / 255, 117 / 255, 104 / 255),
    std=(1 / 255,) * 3,
    default_layer="inception_4c/output",
    aliases=_aliases(),
    head=_LAST,
    words=partial(class_words, "squeezenet1_0"),  # the same classes in the same order
    source="https://github.com/BVLC/caffe/tree/master/models/bvlc_googlenet",
    license="released for unrestricted use; weights trained on ImageNet",
)
