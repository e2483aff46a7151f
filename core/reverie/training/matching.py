"""How far the student is from the teacher: in what both see, and in where they would climb."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from reverie.networks.embedded import FEATURES
from reverie.training.teacher import inner, stride

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reverie.networks.embedded import EmbeddedNetwork
    from reverie.training.motifs import Random

_LEAK = 0.05
"""Of what lies below a ReLU: silent features say how far from firing they are."""


class Scale:
    """How strong each of the teacher's channels is, and so how much it counts."""

    def __init__(self, batches: list[Mapping[str, Tensor]]) -> None:
        """Measure it on what the teacher saw in some batches of scenes."""
        self.mean: dict[str, Tensor] = {}
        self.deviation: dict[str, Tensor] = {}
        for name in FEATURES:
            seen = [leaky(inner(name, batch[name])).transpose(0, 1).flatten(1) for batch in batches]
            values = torch.cat(seen, dim=1)
            self.mean[name] = values.mean(1)
            # Between counting alike and by their strength: strong ones rule dreams of a layer.
            deviation = values.std(1) + 0.1 * values.std()
            self.deviation[name] = (deviation * deviation.square().mean().sqrt()).sqrt()


def leaky(features: Tensor) -> Tensor:
    """Keep a little of what a ReLU would silence."""
    return functional.leaky_relu(features.float(), _LEAK)


def thinned(random: Random) -> Callable[[str, Tensor], Tensor]:
    """Choose one cell of each square of cells, of a random phase: neighbours tell much the same."""
    phases = random.integers(0, 4, 2)

    def thin(name: str, features: Tensor) -> Tensor:
        step = {4: 4, 8: 2, 16: 1}[stride(name)]
        down, right = (int(phase) % step for phase in phases)
        cells = inner(name, features)[:, :, down::step, right::step]
        return cells.contiguous(memory_format=torch.channels_last)

    return thin


def feature_loss(
    student: EmbeddedNetwork,
    image: Tensor,
    wanted: Mapping[str, Tensor],
    scale: Scale,
    thin: Callable[[str, Tensor], Tensor],
) -> dict[str, Tensor]:
    """The mean squared difference of each layer's leaky features, in units of their variance.

    Where the teacher fires the student is taken as it is before its ReLU, so that one which is
    silent there learns as fast as one that fires too little.
    A picture that excites a layer more than scenes do counts by what it excites: else dreams, in
    which features are many times as strong, would rule.
    """
    losses = {}
    for name, carried in student.see(image).items():
        found = read(student, name, thin(name, carried))
        right, deviation = leaky(thin(name, wanted[name])), scale.deviation[name].view(1, -1, 1, 1)
        given = torch.where(right > 0, found.float(), leaky(found))
        apart = ((given - right) / deviation).square().mean((1, 2, 3))
        strength = ((right - scale.mean[name].view(1, -1, 1, 1)) / deviation).square()
        losses[name] = (apart / strength.mean((1, 2, 3)).clamp_min(1)).mean()
    return losses


def read(student: EmbeddedNetwork, name: str, carried: Tensor) -> Tensor:
    """A layer's features before their ReLU."""
    convolution: Tensor = student.get_submodule(name).get_submodule("0")(carried)
    return convolution


def gradient_cosines(found: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines of gradients (N, 3, H, W) as they are, and averaged over squares of 4 px."""
    cosine = functional.cosine_similarity(found.flatten(1), wanted.flatten(1))
    low = functional.cosine_similarity(
        functional.avg_pool2d(found, 4).flatten(1), functional.avg_pool2d(wanted, 4).flatten(1)
    )
    return cosine, low
