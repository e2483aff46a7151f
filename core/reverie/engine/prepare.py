"""Turns a recipe into what a step needs: names become network, objective and space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reverie.device import DTYPES, choose_precision
from reverie.engine.gradient import image_gradient
from reverie.engine.tiles import Gradient, tiled
from reverie.grammar import parse_objective
from reverie.networks.loading import load_network
from reverie.objectives import layer
from reverie.plugins import find, registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from reverie.networks.loading import LoadedNetwork
    from reverie.objectives import Objective
    from reverie.recipe import Recipe
    from reverie.types import Parameterization


@dataclass(frozen=True)
class Climb:
    """A recipe made ready on a device."""

    recipe: Recipe
    space: Parameterization
    gradient: Gradient
    """The objective's, in tiles where a picture is large."""
    smallest_side: int
    """px; a smaller picture shows the network nothing."""
    reach: int | None
    """px; how far from a pixel lies what its gradient depends on; None: everywhere."""
    stride: int
    """px between the outputs of the coarsest layer looked at."""


def prepare(recipe: Recipe, device: torch.device) -> Climb:
    """Load and prepare what a recipe names.

    Raises:
        ReverieError: the network, a layer, the objective or the parameterization is unknown.
    """
    space = find("parameterization", registry().parameterizations(), recipe.parameterization)
    network = load_network(recipe.network)
    objective = _objective(recipe, network)
    precision = choose_precision(recipe.precision, device)
    prepared = network.prepare(objective.layers, device, DTYPES[precision])

    def whole(image: Tensor, shift: tuple[int, int]) -> tuple[Tensor, Tensor]:
        return image_gradient(prepared, objective, image, shift)

    reach, stride = network.reach(objective.layers), network.stride(objective.layers)
    return Climb(
        recipe=recipe,
        space=space,
        gradient=tiled(whole, halo=reach, stride=stride) if objective.is_local else whole,
        smallest_side=network.smallest_side(objective.layers),
        reach=reach if objective.is_local else None,
        stride=stride,
    )


def resolve(recipe: Recipe, device: torch.device) -> Recipe:
    """Write out what a recipe leaves open, objective and precision, so that it can be repeated."""
    return recipe.evolve(
        objective=_objective(recipe, load_network(recipe.network)).text,
        precision=choose_precision(recipe.precision, device),
    )


def _objective(recipe: Recipe, network: LoadedNetwork) -> Objective:
    if not recipe.objective.strip():
        return layer(network.default_layer)
    return parse_objective(recipe.objective, registry().objectives())
