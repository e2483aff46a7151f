"""The networks that the benchmark dreams with, each in all the shapes that the engines want.

Speed does not depend on what a network has learned, but on magnitudes it does: zeros everywhere, or
numbers too small to be normal, take other paths. So random weights come from a fixed seed, and
BatchNorm is calibrated on a picture.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

import reverie
from reverie import Recipe
from reverie.networks.embedded import load as load_embedded
from reverie.types import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    from collections.abc import Callable

_HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True, kw_only=True)
class BenchNetwork:
    """One network with one layer to dream."""

    name: str
    recipe: Recipe
    """As reverie finds it: network and layer, one octave."""
    whole: nn.Module
    """As torchvision builds it, float32, frozen; takes ImageNet-normalised pictures."""
    layer: str
    """The path of the layer in `whole`."""
    cut: nn.Module
    """`whole`, the same tensors, no further than the layer."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """What `cut` wants subtracted from a picture in 0..1, and then divided by `std`."""
    std: tuple[float, float, float] = IMAGENET_STD


def picture(size: int) -> torch.Tensor:
    """The sky that reverie ships, as a square, (1, 3, size, size) in 0..1."""
    sky = Image.open(Path(reverie.__file__).parent / "samples" / "sky.jpg").convert("RGB")
    side = min(sky.size)
    sky = sky.crop((0, 0, side, side)).resize((size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(sky)).permute(2, 0, 1)[None].float().contiguous() / 255


def googlenet(folder: Path) -> BenchNetwork:
    """torchvision's GoogLeNet up to inception4c, with random weights, which go to a file."""
    from torchvision.models import googlenet as build

    with torch.random.fork_rng():
        torch.manual_seed(0)
        whole = build(weights=None, init_weights=False, aux_logits=False, transform_input=True)
        _calibrate(whole)
    file = folder / "googlenet.safetensors"
    save_file({key: value.contiguous() for key, value in whole.state_dict().items()}, file)
    children = list(whole.named_children())
    end = [name for name, _ in children].index("inception4c") + 1
    return BenchNetwork(
        name="GoogLeNet",
        recipe=_recipe(f"googlenet:{file}", "inception4c"),
        whole=_frozen(whole),
        layer="inception4c",
        cut=nn.Sequential(OrderedDict(children[:end])).eval(),
        mean=_HALF,  # what torchvision's transform_input makes of an ImageNet-normalised picture
        std=_HALF,
    )


def _calibrate(network: nn.Module) -> None:
    """Draw BatchNorm's scales, and take its statistics from a picture."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.3)
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (IMAGENET_MEAN, IMAGENET_STD))
    normal = (picture(224) - mean) / std
    with torch.no_grad():
        network.train()(torch.cat([normal, normal.flip(3)]))


def squeezenet(folder: Path, weights: Path | None) -> BenchNetwork:
    """torchvision's SqueezeNet 1.0 up to fire8, with the weights in a file, or random ones."""
    from torchvision.models import squeezenet1_0

    with torch.random.fork_rng():
        torch.manual_seed(0)
        whole = squeezenet1_0(weights=None)
    if weights is None:
        weights = folder / "squeezenet.safetensors"
        save_file(whole.state_dict(), weights)
    else:
        whole.load_state_dict({key: value.float() for key, value in load_file(weights).items()})
    features = whole.features
    return BenchNetwork(
        name="SqueezeNet",
        recipe=_recipe(f"squeezenet1_0:{weights}", "fire8"),
        whole=_frozen(whole),
        layer="features.10",
        cut=features[:11].eval(),
    )


def embedded() -> BenchNetwork:
    """The network that reverie ships, to its default layer."""
    whole = load_embedded()
    trunk = cast("nn.ModuleList", whole.get_submodule("trunk"))
    _frozen(whole)
    return BenchNetwork(
        name="embedded",
        recipe=_recipe("embedded", "creatures"),
        whole=whole,
        layer="creatures",
        cut=nn.Sequential(*trunk[:-1], whole.get_submodule("creatures")),
    )


def builders(folder: Path, squeezenet_file: Path | None) -> dict[str, Callable[[], BenchNetwork]]:
    """All of them by name; files are written to `folder`."""
    return {
        "googlenet": lambda: googlenet(folder),
        "squeezenet": lambda: squeezenet(folder, squeezenet_file),
        "embedded": embedded,
    }


def private(network: nn.Module) -> nn.Module:
    """A copy that an engine may change as it likes."""
    return copy.deepcopy(network)


def _recipe(network: str, layer: str) -> Recipe:
    return Recipe(network=network, objective=layer, octaves=1)


def _frozen(network: nn.Module) -> nn.Module:
    return network.eval().requires_grad_(requires_grad=False)
