"""Recipe settings as command-line options, and back."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from reverie.recipe import Recipe, settings

if TYPE_CHECKING:
    from reverie.setting import Setting


def control(setting: Setting) -> dict[str, Any]:
    """Give a setting as the keywords of `ArgumentParser.add_argument`.

    Values stay text: the recipe checks them, with the same sentences on every host.
    """
    details = f" {setting.unit}" if setting.unit else ""
    if setting.minimum is not None:
        details += f" {setting.minimum:g}..{setting.maximum:g}" if _is_short(setting) else ""
    default = "" if setting.default == "" else f" default {_shown(setting.default)}"
    words = setting.help + (
        f" [{(details + ';' + default).strip('; ')}]" if details or default else ""
    )
    keywords: dict[str, Any] = {"help": words.replace("%", "%%"), "default": argparse.SUPPRESS}
    if setting.kind == "boolean":
        return {**keywords, "action": argparse.BooleanOptionalAction}
    if setting.kind == "choice":
        return {**keywords, "metavar": "|".join(setting.choices)}
    names = {"integer": "N", "number": "X", "text": setting.name.upper()}
    return {**keywords, "metavar": names[setting.kind]}


def _is_short(setting: Setting) -> bool:
    return setting.maximum is not None and setting.maximum < 10**6


def _shown(default: Any) -> str:
    return (
        {True: "on", False: "off"}.get(default, str(default))
        if isinstance(default, bool)
        else str(default)
    )


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """Add one option for each setting; advanced ones in a group of their own."""
    plain = parser.add_argument_group("recipe")
    advanced = parser.add_argument_group("recipe, advanced")
    for setting in settings():
        group = advanced if setting.advanced else plain
        group.add_argument(f"--{setting.name.replace('_', '-')}", **control(setting))


def chosen(options: argparse.Namespace, base: Recipe) -> Recipe:
    """Lay the options that the user gave over a recipe.

    Raises:
        RecipeError: a value is not valid.
    """
    given = vars(options)
    return base.evolve(**{s.name: given[s.name] for s in settings() if s.name in given})
