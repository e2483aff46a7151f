"""The teacher: torchvision's SqueezeNet 1.0, seen on the grid of the student's features.

Iandola et al. 2016, "SqueezeNet"; weights trained on ImageNet, BSD-3-Clause. Its weights are read
from a file that the user names; none of them goes into the student.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from reverie.networks.weights import load_weights
from reverie.types import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEEN = 144
"""px: the side of what the teacher sees."""
INSET = 6
"""px: how far inside that the student's picture begins, so that the centres of both grids meet:
the teacher's are at 8i + 9 px, and the student's at 8i + 3.5 px of its own picture."""
STUDENT = 128
"""px: the side of what the student sees."""

_LAYERS = {4: "strokes", 7: "rings", 9: "eyes", 10: "gazes", 12: "creatures"}
"""Of SqueezeNet's `features`: where a fire module ends, which layer of the student learns it."""
_POOLED = {6: "outlines"}


class Teacher(nn.Module):
    """Gives the features that each layer of the student learns, before their ReLU."""

    def __init__(self, weights: Path) -> None:
        from torchvision.models import squeezenet1_0

        super().__init__()
        self.network = squeezenet1_0(weights=None)
        self.network.load_state_dict(load_weights(weights))
        self.float().eval().requires_grad_(requires_grad=False)
        self.to(memory_format=torch.channels_last)

    def forward(self, image: Tensor, upto: str = "things") -> dict[str, Tensor]:
        """Give features by layer, none deeper than `upto`, for (N, 3, SEEN, SEEN).

        Each (N, C, h, w) covers the student's grid; `outlines` comes after its ReLU and pool.
        """
        return {name: _on_grid(name, value) for name, value in self._layers(image, upto)}

    def _layers(self, image: Tensor, upto: str) -> Iterator[tuple[str, Tensor]]:
        for index, module in enumerate(self.network.features):
            if not hasattr(module, "expand3x3"):
                image = module(image)
                name = _POOLED.get(index, "")
                if name:
                    yield name, image
            else:
                squeezed = functional.relu(module.squeeze(image))
                expanded = [module.expand1x1(squeezed), module.expand3x3(squeezed)]
                before = torch.cat(cast("list[Tensor]", expanded), dim=1)
                name = _LAYERS.get(index, "")
                if name:
                    yield name, before
                image = functional.relu(before)
            if name == upto:
                return
        yield "things", self.network.classifier[1](image)


def _on_grid(name: str, features: Tensor) -> Tensor:
    cells = STUDENT // stride(name)
    return features[:, :, :cells, :cells]


def stride(name: str) -> int:
    """Give the px between the features of a layer."""
    return {"strokes": 4, "creatures": 16, "things": 16}.get(name, 8)


def inner(name: str, features: Tensor) -> Tensor:
    """Leave out the cells at the border, where each network sees its own padding."""
    border = 2 if name == "strokes" else 1
    return features[:, :, border:-border, border:-border]


def students(image: Tensor) -> Tensor:
    """Cut what the student sees out of what the teacher sees."""
    cut = slice(INSET, INSET + STUDENT)
    return image[:, :, cut, cut].contiguous(memory_format=torch.channels_last)


def normalise(pixels: Tensor) -> Tensor:
    """From (N, H, W, 3) uint8 to (N, 3, H, W) as both networks want it."""
    image = pixels.permute(0, 3, 1, 2).float() / 255
    mean, std = _constants(image)
    return ((image - mean) / std).contiguous(memory_format=torch.channels_last)


def pixels(image: Tensor) -> Tensor:
    """Back again, in 0..255 but not rounded: (N, H, W, 3) float32."""
    mean, std = _constants(image)
    return ((image * std + mean).clamp(0, 1) * 255).permute(0, 2, 3, 1)


def limits(image: Tensor) -> tuple[Tensor, Tensor]:
    """Black and white as the networks see them, (1, 3, 1, 1) each."""
    mean, std = _constants(image)
    return (0 - mean) / std, (1 - mean) / std


def _constants(image: Tensor) -> tuple[Tensor, Tensor]:
    mean, std = image.new_tensor(IMAGENET_MEAN), image.new_tensor(IMAGENET_STD)
    return mean.view(1, 3, 1, 1), std.view(1, 3, 1, 1)
