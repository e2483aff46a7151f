"""A guide picture, and the objective that looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reverie.errors import ObjectiveError
from reverie.grammar import parse_objective
from reverie.networks.loading import load_network
from reverie.plugins import registry

if TYPE_CHECKING:
    from reverie.recipe import Recipe


def guided(recipe: Recipe) -> Recipe:
    """Let a recipe look at a guide: where it climbs one layer, it climbs that layer's guide.

    A recipe whose objective looks at a guide already stays as it is.

    Raises:
        ObjectiveError: the objective is another, in which the guide would have no place.
    """
    factories = registry().objectives()
    text = recipe.objective
    if not text.strip():
        text = factories["layer"](load_network(recipe.network).default_layer).text
    objective = parse_objective(text, factories)
    if objective.needs_guide:
        return recipe
    (*_, name) = objective.layers or [""]
    if objective.text != factories["layer"](name).text:
        raise ObjectiveError(
            f"objective: {recipe.objective} does not look at the guide; write guide(layer) in it, "
            "name one layer alone, or leave the guide away."
        )
    return recipe.evolve(objective=factories["guide"](name).text)
