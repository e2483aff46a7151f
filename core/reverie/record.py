"""The record in every picture that reverie writes: its recipe, resolved, and what computed it.

picture/ stores the text in PNG, JPEG, TIFF and WebP; this file says what the text means.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie import __version__
from reverie.errors import RecipeError
from reverie.picture import read_record
from reverie.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
"""File names that may hold a record; any other is read as JSON."""


def write_record(
    recipe: Recipe,
    *,
    digest: str,
    device: str,
    done: float = 1.0,
    is_masked: bool = False,
    is_guided: bool = False,
    regions: Sequence[str] = (),
) -> str:
    """Write down how a picture was made, as JSON.

    Args:
        recipe: resolved, so that nothing is left to a later release's choice.
        digest: the network's weights, SHA-256 in hexadecimal digits.
        device: where it was computed; another device may give other bytes.
        done: how much of the dream was done when the user stopped it, 0..1.
        is_masked: a mask was used; it is not part of the recipe.
        is_guided: a guide picture was used; nor is that.
        regions: the objectives of regions, resolved; their masks are not written down.
    """
    name, _, file = recipe.network.partition(":")
    if file:  # a published picture should not tell where its maker keeps files
        recipe = recipe.evolve(network=f"{name}:{Path(file).name}")
    record: dict[str, Any] = {
        "reverie": __version__,
        "recipe": json.loads(recipe.to_json()),
        "network_sha256": digest,
        "device": device,
    }
    if is_masked:
        record["masked"] = True
    if is_guided:
        record["guided"] = True
    if regions:
        record["regions"] = list(regions)
    if done < 1:
        record["stopped_at"] = round(done, 3)
    return json.dumps(record)  # in ASCII: every format holds it, in half of what UTF-16 takes


@dataclass(frozen=True)
class Record:
    """What a picture or a recipe file tells."""

    recipe: Recipe
    digest: str | None = None
    """The network's weights, SHA-256 in hexadecimal digits; None in a plain recipe."""
    is_masked: bool = False
    is_guided: bool = False
    regions: tuple[str, ...] = ()
    """The objectives of regions; their masks have to be given again."""
    is_whole: bool = True
    """False for what a user kept of a dream that was stopped."""


def read_recipe(path: Path) -> Record:
    """Read a recipe from a JSON file, or from a picture that was made with one.

    Raises:
        RecipeError: there is none in it, or it is not valid.
        ImageError: the picture cannot be read.
    """
    return parse_record(read_text(path))


def read_text(path: Path) -> str:
    """Read the text of a record from a picture, or that of a recipe from a JSON file.

    Raises:
        RecipeError: there is no text in it; whether the text is valid is not checked.
        ImageError: the picture cannot be read.
    """
    if path.suffix.lower() in PICTURES:
        text = read_record(path)
        if text is None:
            raise RecipeError(f"{path} holds no recipe; it was not written by reverie.")
        return text
    try:
        return path.read_text(encoding="utf-8-sig")  # Windows' editors put a mark before it
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise RecipeError(f"the recipe {path} cannot be read: {reason}.") from None


def parse_record(text: str) -> Record:
    """Read a recipe from the text of a record, or from a recipe's own JSON."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if not (isinstance(data, dict) and isinstance(data.get("recipe"), dict)):
        return Record(Recipe.from_json(text))
    digest, regions = data.get("network_sha256"), data.get("regions", [])
    return Record(
        Recipe.from_json(json.dumps(data["recipe"])),
        digest if isinstance(digest, str) else None,
        is_masked=data.get("masked") is True,
        is_guided=data.get("guided") is True,
        regions=tuple(map(str, regions)) if isinstance(regions, list) else (),
        is_whole="stopped_at" not in data,
    )
