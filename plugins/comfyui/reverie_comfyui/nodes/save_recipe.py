"""Reverie Save Recipe: a recipe as a JSON file in the output folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reverie_comfyui.description import RECIPE, Input, Node, Result

if TYPE_CHECKING:
    from pathlib import Path

    from reverie.record import Record


def _inputs() -> tuple[Input, ...]:
    return (
        Input(name="recipe", type=RECIPE, label="Recipe", help="The recipe to save."),
        Input(
            name="filename_prefix",
            type="STRING",
            label="Filename prefix",
            help="How the file's name begins; a number follows, so that nothing is overwritten. "
            "It may name a folder inside the output folder.",
            default="reverie/recipe",
        ),
    )


def _run(
    recipe: Record,
    filename_prefix: str = "reverie/recipe",
    metadata: dict[str, Any] | None = None,  # noqa: ARG001 - for files that hold a workflow
) -> Result:
    from reverie.picture.files import save_whole
    from reverie_comfyui.saving import save_new

    text = recipe.recipe.to_json() + "\n"

    def write(path: Path) -> None:
        save_whole(text.encode(), path, overwrite=False)

    saved = save_new(filename_prefix, ".json", write)
    return Result(shown={"text": [f"{saved['subfolder']}/{saved['filename']}".lstrip("/")]})


SAVE_RECIPE = Node(
    id="ReverieSaveRecipe",
    title="Reverie Save Recipe",
    help="Saves a recipe as a JSON file in ComfyUI's output folder; the command line and GIMP read "
    "it, too.",
    inputs=_inputs,
    run=_run,
    writes_files=True,
    aliases=("export recipe",),
)
