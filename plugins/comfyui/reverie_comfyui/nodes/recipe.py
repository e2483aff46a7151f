"""Reverie Recipe: a recipe from a preset, a file or a picture, with changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie_comfyui import choosing, fields, program
from reverie_comfyui.description import RECIPE, Input, Node, Output, Result

if TYPE_CHECKING:
    from reverie.record import Record


def _inputs() -> tuple[Input, ...]:
    preset = fields.preset_input()
    return (
        Input(
            name="preset",
            type="COMBO",
            label=preset.label,
            help=f'A look to start from; "{fields.NO_PRESET}" starts from the defaults.',
            default=preset.default,
            choices=preset.choices,
        ),
        Input(
            name="file",
            type="STRING",
            label="File",
            help="A recipe's JSON file, or a picture that reverie dreamed, to take the recipe "
            "from instead of the preset: a name in ComfyUI's input or output folder, or a path.",
            default="",
        ),
        Input(
            name="edit",
            type="STRING",
            label="Edit",
            help='Changes, as JSON: {"octaves": 6, "objective": "eyes"}. Empty: none.',
            default="",
            is_multiline=True,
        ),
        Input(
            name="recipe",
            type=RECIPE,
            label="Recipe",
            help="Another node's recipe to change, instead of the preset and the file.",
            is_optional=True,
        ),
    )


def _run(
    preset: str = fields.NO_PRESET,
    file: str = "",
    edit: str = "",
    recipe: Record | None = None,
) -> Result:
    from reverie.record import Record, read_recipe

    if recipe is None and file.strip():
        recipe = read_recipe(find_file(file.strip()))
    if recipe is None:
        recipe = Record(choosing.preset_recipe(preset))
    if changes := _changes(edit):
        recipe = Record(recipe.recipe.evolve(**changes))
    return Result((recipe, recipe.recipe.to_json()))


def _changes(edit: str) -> dict[str, Any]:
    from reverie.errors import RecipeError

    if not edit.strip():
        return {}
    try:
        changes = json.loads(edit)
    except (ValueError, RecursionError) as error:
        raise RecipeError(
            f"edit: this is not JSON ({error}); write it like this: {json.dumps({'octaves': 6})}"
        ) from None
    if not isinstance(changes, dict):
        raise RecipeError(
            f"edit: {edit.strip()[:40]!r} is not a JSON object; write it like this: "
            f"{json.dumps({'octaves': 6})}"
        )
    return changes


def find_file(name: str) -> Path:
    """Find a file by its path, or by its name in ComfyUI's input or output folder.

    Raises:
        RecipeError: there is none.
    """
    from reverie.errors import RecipeError

    paths = program.folder_paths()
    folders = (paths.get_input_directory(), paths.get_output_directory())
    for candidate in (Path(folder, name) for folder in folders):  # an absolute path stays itself
        if candidate.is_file():
            return candidate
    raise RecipeError(
        f"file: there is no {name!r} in {' or '.join(folders)}; put it there, or give its path."
    )


def _fingerprint(file: str | None = "", **_others: Any) -> str:
    if not file or not file.strip():
        return ""
    status = find_file(file.strip()).stat()
    return f"{status.st_size}:{status.st_mtime_ns}"


RECIPE_NODE = Node(
    id="ReverieRecipe",
    title="Reverie Recipe",
    help="A recipe holds all settings of a dream. Take one from a preset, a file or a dreamed "
    "picture, change it, and dream it with Reverie Dream or Reverie Zoom.",
    inputs=_inputs,
    outputs=(
        Output(type=RECIPE, label="recipe", help="The recipe, for a node that dreams or saves."),
        Output(
            type="STRING",
            label="json",
            help="The recipe as JSON: every setting that is not its default.",
        ),
    ),
    run=_run,
    fingerprint=_fingerprint,
    aliases=("deepdream preset", "load recipe", "deepdream settings"),
)
