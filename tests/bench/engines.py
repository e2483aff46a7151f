"""The engines that are compared, but for the peers: the classic loop, and reverie.

An engine is made for a network, gets a picture, and then takes steps on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, get_args

import torch
from torch import Tensor
from torch.nn import functional

import reverie
from networks import private
from reverie import Recipe
from reverie.device import ExactArithmetic, own_grad_mode
from reverie.engine.prepare import prepare

if TYPE_CHECKING:
    from networks import BenchNetwork
    from race import Run

Engine = Callable[[Tensor], "Run"]
"""Takes a picture, (1, 3, H, W) in 0..1 on the device, and gives what climbs on it."""

SHIFT = (13, -21)
"""px; the classic loop's jitter, which costs the same whatever it is."""
STEP = 1.5 / 255
PRECISIONS = tuple(
    name for name in get_args(Recipe.model_fields["precision"].annotation) if name != "auto"
)
"""What a recipe allows."""


def classic(network: BenchNetwork, device: torch.device) -> Engine:
    """`make_step` of google/deepdream's dream.ipynb in the shortest way that PyTorch allows.

    The network's own modules as they come, cut after the layer, NCHW, float32, autograd; a step is:
    roll, forward, backward from the activations themselves, add the gradient by its mean magnitude,
    roll back, clip.
    """
    gradient_of = classic_gradient(network, device)

    def start(image: Tensor) -> Run:
        def run(steps: int, tick: Callable[[], None]) -> None:
            picture = image
            for _ in range(steps):
                rolled = torch.roll(picture, SHIFT, (2, 3))
                gradient = gradient_of(rolled)
                rolled = rolled + STEP / gradient.abs().mean() * gradient
                picture = torch.roll(rolled, (-SHIFT[0], -SHIFT[1]), (2, 3)).clamp(0, 1)
                tick()

        return run

    return start


def classic_gradient(network: BenchNetwork, device: torch.device) -> Callable[[Tensor], Tensor]:
    """The gradient of half the sum of squared activations."""
    module = private(network.cut).to(device)
    mean = torch.tensor(network.mean, device=device).view(1, 3, 1, 1)
    std = torch.tensor(network.std, device=device).view(1, 3, 1, 1)

    def gradient_of(image: Tensor) -> Tensor:
        image = image.detach().requires_grad_()
        activations = module((image - mean) / std)
        return torch.autograd.grad(activations, image, activations.detach())[0]

    return gradient_of


def ours(network: BenchNetwork, device: torch.device, precision: str) -> Engine:
    """`reverie.dream` itself, one octave; what is timed lies between two calls of its `on_step`."""
    recipe = network.recipe.evolve(precision=precision)

    def start(image: Tensor) -> Run:
        def run(steps: int, tick: Callable[[], None]) -> None:
            reverie.dream(
                image, recipe.evolve(steps=steps), device=device, on_step=lambda _: tick()
            )

        return run

    return start


def agreement(network: BenchNetwork, image: Tensor, precision: str) -> float:
    """The cosine between reverie's gradient and the classic loop's, 1 where they agree."""
    exact = classic_gradient(network, image.device)(image)
    climb = prepare(network.recipe.evolve(precision=precision), image.device)
    with own_grad_mode(), ExactArithmetic(image.device):
        _, gradient = climb.gradient(image.clone(), (0, 0))
    return float(functional.cosine_similarity(gradient.flatten(), exact.flatten(), dim=0))
