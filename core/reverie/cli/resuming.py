"""Going on with a batch that was stopped: what is dreamed already is found and left alone.

No list of what is done is kept: every dream carries its recipe, and is written whole or not at all.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reverie.cli.places import user_path
from reverie.cli.speech import say
from reverie.errors import ImageError, RecipeError
from reverie.record import parse_record, read_recipe, write_record

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from reverie.cli.places import Job
    from reverie.recipe import Recipe
    from reverie.record import Record


def left_to_do(
    jobs: Sequence[Job],
    recipe: Recipe,
    *,
    digest: str,
    mask: Path | None = None,
    guide: Path | None = None,
    regions: Sequence[tuple[Path, str]] = (),
) -> list[Job]:
    """Give the jobs whose dreams are not there yet, and say how many are.

    A dream is there if its file was made by the same recipe with the same weights, to the end, and
    is not older than its picture, mask, guide and regions. One that was stopped is made anew.
    Another file is replaced if its job allows that.

    Args:
        jobs: planned with `resume`.
        recipe: resolved.
        digest: the network's weights, SHA-256 in hexadecimal digits.
        mask: the file of the mask that is used now.
        guide: that of the guide.
        regions: those of the regions' masks, and their objectives, resolved.
    Raises:
        ImageError: something else is at a place that may not be replaced.
    """
    text = write_record(
        recipe,
        digest=digest,
        device="",
        is_masked=mask is not None,
        is_guided=guide is not None,
        regions=[objective for _, objective in regions],
    )
    wanted = parse_record(text)
    left, masks = [], [file for file, _ in regions]
    for job in jobs:
        if not os.path.lexists(job.out):
            left.append(job)
            continue
        photo = None if job.is_blank else job.photo
        fault = _difference(job.out, wanted) or _age(job.out, (photo, mask, guide, *masks))
        if fault == _STOPPED:
            left.append(replace(job, replaces=True))
        elif fault and job.replaces:
            left.append(job)
        elif fault:
            raise ImageError(
                f"{job.out} is there and {fault}; choose another folder with --output, or replace "
                "it with --overwrite."
            )
    if len(left) < len(jobs):
        done = len(jobs) - len(left)
        say(f"reverie: {done} of {len(jobs)} dreams are there already.", sys.stderr)
    return left


def sources(options: argparse.Namespace, objectives: Sequence[str]) -> dict[str, Any]:
    """Give the files of mask, guide and regions that the user named, as `left_to_do` takes them.

    Args:
        options: of the command line.
        objectives: of the regions, resolved.
    """
    named = {"mask": options.mask, "guide": options.guide}
    masks = [user_path(file) for file, _ in options.region]
    found: dict[str, Any] = {name: user_path(file) for name, file in named.items() if file}
    return {**found, "regions": list(zip(masks, objectives, strict=True))}


_STOPPED = "was stopped before its end"


def _difference(out: Path, wanted: Record) -> str:
    """Say what speaks against a file being the dream that is wanted; nothing, if it is."""
    try:
        there = read_recipe(out)
    except (ImageError, RecipeError):
        return "holds no recipe that can be read"
    before, now = there.recipe.model_dump(), wanted.recipe.model_dump()
    if names := [name for name in now if before[name] != now[name]]:
        return f"was made by another recipe ({names[0]} was {before[names[0]]!r})"
    if there.digest != wanted.digest or there.regions != wanted.regions:
        return f"was made with other {'weights' if there.digest != wanted.digest else 'regions'}"
    if there.is_masked != wanted.is_masked:
        return "was made " + ("with a mask" if there.is_masked else "without a mask")
    if there.is_guided != wanted.is_guided:
        return "was made " + ("with a guide" if there.is_guided else "without a guide")
    return "" if there.is_whole else _STOPPED


def _age(out: Path, sources: Sequence[Path | None]) -> str:
    made = out.stat().st_mtime_ns
    for source in sources:
        if source is not None and source.stat().st_mtime_ns > made:
            return f"is older than {source}"
    return ""
