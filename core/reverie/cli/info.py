"""`reverie info`: the recipe inside a picture, or in a file of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from reverie.cli.places import user_path
from reverie.cli.speech import say
from reverie.errors import RecipeError
from reverie.record import PICTURES, parse_record, read_text

if TYPE_CHECKING:
    import argparse


def info(options: argparse.Namespace) -> int:
    """Print how a picture was made, as JSON."""
    path = user_path(options.picture)
    record = read_text(path)
    if path.suffix.lower() not in PICTURES:  # any file may have such a name
        try:
            parse_record(record)
        except RecipeError as error:
            raise RecipeError(f"{path}: {error}") from None
    try:
        say(json.dumps(json.loads(record), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):
        raise RecipeError(f"{path} holds a recipe that is damaged: {record[:80]!r}.") from None
    return 0
