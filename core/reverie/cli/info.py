"""`reverie info`: the recipe inside a picture."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from reverie.cli.places import user_path
from reverie.cli.speech import say
from reverie.errors import RecipeError
from reverie.picture import read_record

if TYPE_CHECKING:
    import argparse


def info(options: argparse.Namespace) -> int:
    """Print how a picture was made, as JSON."""
    path = user_path(options.picture)
    record = read_record(path)
    if record is None:
        raise RecipeError(f"{path} holds no recipe; it was not written by reverie.")
    try:
        say(json.dumps(json.loads(record), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):
        raise RecipeError(f"{path} holds a recipe that is damaged: {record[:80]!r}.") from None
    return 0
