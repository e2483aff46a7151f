"""The procedure's arguments, made from the Recipe's settings, and the recipe made from them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gi.repository import Gimp, GObject

from worker_client import WorkerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facts import Facts

READ_WRITE = GObject.ParamFlags.READWRITE
OWN = ("preset", "result", "guide", "regions")
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
        elif one["kind"] == "file":
            _add_file(procedure, *words)
        else:
            add = (
                procedure.add_int_argument
                if one["kind"] == "integer"
                else procedure.add_double_argument
            )
            add(*words, one["lower"], one["upper"], one["default"], READ_WRITE)


def _add_file(procedure: Gimp.Procedure, *words: str) -> None:
    """Add an argument that names a file, or none.

    This function is not what it was in GIMP's previews, as no other that we use: where it is
    another, the rest still works, and the dialog says so.
    """
    with suppress(AttributeError, TypeError):
        kind = Gimp.FileChooserAction.ANY  # of OPEN, GIMP forgets a file that is gone
        procedure.add_file_argument(*words, kind, True, None, READ_WRITE)


def title(one: dict[str, Any]) -> str:
    """Give an argument's title with an underscore before its mnemonic."""
    plain: str = one["title"]
    at = plain.lower().find(one["mnemonic"]) if one["mnemonic"] else -1
    return plain if at < 0 else f"{plain[:at]}_{plain[at:]}"


def settings(facts: Facts) -> Iterator[dict[str, Any]]:
    """List the arguments that are settings of a recipe."""
    return (one for one in facts.arguments if one["name"] not in OWN)


def recipe_of(config: Gimp.ProcedureConfig, facts: Facts) -> dict[str, Any]:
    """Give what the worker is asked for: "recipe", and "preset" and "guide" if they are named.

    Under a preset only the settings that differ from their defaults are given: GIMP does not say
    which ones a script named.

    Raises:
        WorkerError: the guide is no file of this computer.
    """
    preset = config.get_property("preset") or ""
    recipe = {}
    for one in settings(facts):
        value = config.get_property(one["name"])
        if one["kind"] == "text":
            value = value or ""
        if not preset or value != one["default"]:
            recipe[field(one)] = value
    named = {"preset": preset, "guide": guide_of(config)}
    return {"recipe": recipe, **{key: value for key, value in named.items() if value}}


def takes_guides(config: Gimp.ProcedureConfig) -> bool:
    """This GIMP takes files as arguments, in the way that we know."""
    return config.find_property("guide") is not None


def guide_of(config: Gimp.ProcedureConfig) -> str:
    """Give the path of the guide that is chosen, or nothing.

    Raises:
        WorkerError: it lies somewhere that has no path.
    """
    file = config.get_property("guide") if takes_guides(config) else None
    if file is None:
        return ""
    path = file.get_path()
    if path is None:
        raise WorkerError(
            f"The guide {file.get_uri()} is not a file on this computer; save it here and choose "
            "it again."
        )
    return str(path)


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
