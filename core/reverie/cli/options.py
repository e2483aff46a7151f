"""Recipe settings as command-line options, and back."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any

from reverie.recipe import Recipe, settings

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        group.add_argument(_option(setting), **control(setting))


def join_values(words: Sequence[str]) -> list[str]:
    """Join the option of a text with a value that begins with a minus, for which argparse asks.

    A minus with a single letter stays an option, and after `--` all words are names of files.

    >>> join_values(["--objective", "-eyes", "-q"])
    ['--objective=-eyes', '-q']
    """
    texts = {_option(setting) for setting in settings() if setting.kind == "text"}
    joined: list[str] = []
    for number, word in enumerate(words):
        if word == "--":
            return [*joined, *words[number:]]
        is_value = re.match(r"-[^-].", word) is not None
        if is_value and joined and joined[-1] in texts:
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _option(setting: Setting) -> str:
    return f"--{setting.name.replace('_', '-')}"


def chosen(options: argparse.Namespace, base: Recipe) -> Recipe:
    """Lay the options that the user gave over a recipe.

    Raises:
        RecipeError: a value is not valid.
    """
    given = vars(options)
    return base.evolve(**{s.name: given[s.name] for s in settings() if s.name in given})
