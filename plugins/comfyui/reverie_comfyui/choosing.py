"""Which recipe a node dreams, from what is set and linked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reverie.plugins import find, registry
from reverie.recipe import Recipe, settings
from reverie_comfyui.description import NETWORK, OBJECTIVE, RECIPE, Input
from reverie_comfyui.fields import NO_PRESET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reverie.record import Record

LINKS = (
    Input(
        name="recipe",
        type=RECIPE,
        label="Recipe",
        help="A whole recipe, used instead of the preset and all settings of this node.",
        is_optional=True,
    ),
    Input(
        name="reverie_network",
        type=NETWORK,
        label="Network",
        help="The network to dream with, instead of the one that is set or in the recipe.",
        is_optional=True,
    ),
    Input(
        name="reverie_objective",
        type=OBJECTIVE,
        label="Objective",
        help="What to amplify, instead of the objective that is set or in the recipe.",
        is_optional=True,
    ),
)
"""The inputs of nodes that dream, for what other nodes of reverie give."""


def choose(
    preset: str,
    chosen: Mapping[str, Any],
    *,
    recipe: Record | None = None,
    reverie_network: str | None = None,
    reverie_objective: str | None = None,
) -> Recipe:
    """Put a recipe together.

    Args:
        preset: a preset's name, or "none".
        chosen: settings; those that differ from their defaults are laid over the preset.
        recipe: used instead of both.
        reverie_network: used instead of the recipe's network.
        reverie_objective: used instead of the recipe's objective.
    Raises:
        ReverieError: the preset is unknown, or a value is not valid.
    """
    if recipe is not None:
        dreamed = recipe.recipe
    else:
        Recipe(**chosen)  # a wrong value is answered even where a preset would hide it
        defaults = {setting.name: setting.default for setting in settings()}
        changed = {name: value for name, value in chosen.items() if value != defaults[name]}
        dreamed = preset_recipe(preset).evolve(**changed)
    links = {"network": reverie_network, "objective": reverie_objective}
    return dreamed.evolve(**{key: value for key, value in links.items() if value is not None})


def preset_recipe(preset: str) -> Recipe:
    """Give a preset's recipe; that of "none" is the classic dream.

    Raises:
        ReverieError: there is no such preset.
    """
    if preset == NO_PRESET:
        return Recipe()
    return find("preset", registry().presets(), preset).recipe


def preset_notice(preset: str) -> str:
    """Say what about a preset is not as in its source, or nothing."""
    return "" if preset == NO_PRESET else registry().presets()[preset].notice
