"""A guide picture linked to a node, and the objective that looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reverie.errors import ObjectiveError

if TYPE_CHECKING:
    from reverie.recipe import Recipe


def guided(recipe: Recipe) -> Recipe:
    """Let a recipe look at a guide: where it climbs one layer, it climbs that layer's guide.

    A recipe whose objective looks at a guide already stays as it is.

    Raises:
        ObjectiveError: the objective is another sum, in which the guide would have no place.
    """
    from reverie.grammar import parse_objective
    from reverie.networks.loading import load_network
    from reverie.plugins import registry

    factories = registry().objectives()
    text = recipe.objective
    if not text.strip():
        text = factories["layer"](load_network(recipe.network).default_layer).text
    objective = parse_objective(text, factories)
    if objective.guides:
        return recipe
    (*_, name) = objective.layers or [""]
    if objective.text != factories["layer"](name).text:
        raise ObjectiveError(
            f"objective: {recipe.objective!r} does not look at the guide that is linked; write "
            "guide(LAYER) in it, name one layer alone, or unlink the guide."
        )
    return recipe.evolve(objective=factories["guide"](name).text)
