"""A guide picture, and the objective that looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reverie.errors import ObjectiveError
from reverie.grammar import parse_objective
from reverie.networks.loading import load_network
from reverie.objectives import INPUT
from reverie.plugins import registry

if TYPE_CHECKING:
    from reverie.recipe import Recipe


def guided(recipe: Recipe) -> Recipe:
    """Let a recipe look at a guide: where it climbs one layer, it climbs that layer's guide.

    What holds that back stays: `eyes - blur(1)` becomes `guide(eyes) - blur(1)`. A recipe whose
    objective looks at a guide already stays as it is.

    Raises:
        ObjectiveError: the objective is another, in which the guide would have no place.
    """
    factories = registry().objectives()
    text = recipe.objective
    if not text.strip():
        text = factories["layer"](load_network(recipe.network).default_layer).text
    if parse_objective(text, factories).needs_guide:
        return recipe
    meant = parse_objective(text, {**factories, "layer": factories["guide"]})
    if not meant.needs_guide or len(meant.layers - {INPUT}) > 1:
        raise ObjectiveError(
            f"objective: {recipe.objective} does not look at the guide; write guide(layer) in it, "
            "name one layer alone, or leave the guide away."
        )
    return recipe.evolve(objective=meant.text)
