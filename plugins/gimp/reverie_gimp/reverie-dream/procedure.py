"""The procedure's arguments, made from the Recipe's settings, and the recipe made from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gi.repository import Gimp, GObject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facts import Facts

READ_WRITE = GObject.ParamFlags.READWRITE
OWN = ("preset", "result")
"""Arguments that are no settings of a recipe."""


def add_arguments(procedure: Gimp.Procedure, facts: Facts) -> None:
    """Add an argument of the right kind, range and help for each setting."""
    for one in facts.arguments:
        words = one["name"], title(one), one["help"]
        if one["kind"] == "choice":
            choice = Gimp.Choice.new()
            for number, (name, label) in enumerate(one["choices"].items()):
                choice.add(name, number, label, "")
            procedure.add_choice_argument(*words, choice, one["default"], READ_WRITE)
        elif one["kind"] == "boolean":
            procedure.add_boolean_argument(*words, one["default"], READ_WRITE)
        elif one["kind"] == "text":
            procedure.add_string_argument(*words, one["default"], READ_WRITE)
        else:
            add = (
                procedure.add_int_argument
                if one["kind"] == "integer"
                else procedure.add_double_argument
            )
            add(*words, one["lower"], one["upper"], one["default"], READ_WRITE)


def title(one: dict[str, Any]) -> str:
    """Give an argument's title with an underscore before its mnemonic."""
    plain: str = one["title"]
    at = plain.lower().find(one["mnemonic"]) if one["mnemonic"] else -1
    return plain if at < 0 else f"{plain[:at]}_{plain[at:]}"


def settings(facts: Facts) -> Iterator[dict[str, Any]]:
    """List the arguments that are settings of a recipe."""
    return (one for one in facts.arguments if one["name"] not in OWN)


def recipe_of(config: Gimp.ProcedureConfig, facts: Facts) -> dict[str, Any]:
    """Give what the worker is asked for: "recipe", and "preset" if one is named.

    Under a preset only the settings that differ from their defaults are given: GIMP does not say
    which ones a script named.
    """
    preset = config.get_property("preset") or ""
    recipe = {}
    for one in settings(facts):
        value = config.get_property(one["name"])
        if one["kind"] == "text":
            value = value or ""
        if not preset or value != one["default"]:
            recipe[field(one)] = value
    return {"recipe": recipe, "preset": preset} if preset else {"recipe": recipe}


def apply(recipe: dict[str, Any], config: Gimp.ProcedureConfig, facts: Facts) -> None:
    """Set every setting to what a recipe says, or to its default."""
    for one in settings(facts):
        config.set_property(one["name"], recipe.get(field(one), one["default"]))


def preset_of(config: Gimp.ProcedureConfig, facts: Facts) -> str:
    """Name the preset whose settings these are, if any."""
    now = {field(one): config.get_property(one["name"]) for one in settings(facts)}
    for preset in facts.presets:
        recipe = preset["recipe"]
        wanted = {field(one): recipe.get(field(one), one["default"]) for one in settings(facts)}
        if wanted == now:
            return str(preset["name"])
    return ""


def field(one: dict[str, Any]) -> str:
    """Name the recipe's field of an argument."""
    return str(one["name"]).replace("-", "_")
