"""`reverie dream`: from files to dreams, one after the other, without losing anything.

All that can be wrong for every picture is found before the first is dreamed on.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.cli.cluster import dream_on_cluster, require_ray
from reverie.cli.memory import read_size, working_memory
from reverie.cli.options import chosen
from reverie.cli.places import Job, plan, user_path
from reverie.cli.progress import Interrupt, progress
from reverie.cli.resuming import left_to_do, sources
from reverie.cli.speech import DownloadBar, say
from reverie.device import choose_device
from reverie.engine.dream import dream as dream_on
from reverie.engine.guiding import guided
from reverie.engine.octaves import fit
from reverie.engine.prepare import prepare, resolve
from reverie.engine.regions import look_at_guide, recipes_of
from reverie.engine.starting import SIDE, blank
from reverie.errors import (
    Cancelled,
    ImageError,
    NetworkError,
    ObjectiveError,
    PluginError,
    ReverieError,
)
from reverie.grammar import parse_objective
from reverie.image import resized_alpha
from reverie.networks.loading import LoadedNetwork, load_network
from reverie.picture import Picture, check_output, read_picture, write_picture
from reverie.plugins import find, registry
from reverie.recipe import Recipe
from reverie.record import read_recipe, write_record

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    import torch

    from reverie.engine.dream import Step

HOLDS_FOR_ALL = (NetworkError, ObjectiveError, PluginError)
"""Faults of the recipe rather than of one picture: the next one would fail like this one."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What all pictures of one command share."""

    recipe: Recipe
    """Resolved."""
    network: LoadedNetwork
    device: torch.device
    mask: np.ndarray[Any, Any] | None
    """(H, W) in 0..1, of any size."""
    quiet: bool
    guide: np.ndarray[Any, Any] | None = None
    """The values of a picture, (H, W) or (H, W, 3)."""
    memory: int | None = None
    """Bytes, as --memory says."""
    regions: Sequence[tuple[np.ndarray[Any, Any], str]] = ()
    """Masks as above, and resolved objectives."""


def dream(options: argparse.Namespace) -> int:
    """Dream on every picture named; one that fails does not keep the others from being dreamed."""
    recipe, digest = _recipe(options)
    if not options.photos:
        recipe = _from_nothing(recipe, options)
    on_cluster, resume = options.ray is not None, options.resume or options.ray is not None
    if on_cluster:
        require_ray()
    memory = None if options.memory is None else read_size(options.memory)
    device = choose_device("cpu" if on_cluster else options.device)  # workers choose their own
    others = recipes_of(recipe, options.region)
    for each in (recipe, *others):
        _check_names(each)
    jobs = plan(
        options.photos,
        options.output,
        overwrite=options.overwrite,
        resume=resume,
        start=recipe.start,
    )
    mask = None if options.mask is None else _read_mask(options.mask)
    guide = None if options.guide is None else read_picture(user_path(options.guide)).values
    masks = [_read_mask(file) for file, _ in options.region]
    with DownloadBar(recipe.network, quiet=options.quiet) as bar:
        network = load_network(recipe.network, on_progress=bar.update)
    if digest not in {None, network.digest}:
        say("The recipe was made with other weights; this dream will differ.", sys.stderr)
    recipe = guided(recipe) if guide is not None and not look_at_guide(others) else recipe
    asked, recipe = recipe, resolve(recipe, device)
    objectives = [resolve(each, device).objective for each in others]
    _prepare_early(recipe, objectives, device, has_guide=guide is not None)
    work = Work(
        recipe=recipe,
        network=network,
        device=device,
        mask=mask,
        guide=guide,
        quiet=options.quiet,
        memory=memory,
        regions=tuple(zip(masks, objectives, strict=True)),
    )
    if on_cluster:
        return dream_on_cluster(jobs, work, options, asked)
    if resume:
        jobs = left_to_do(jobs, recipe, digest=network.digest, **sources(options, objectives))
    return _dream_all(jobs, work)


def _prepare_early(
    recipe: Recipe, objectives: Sequence[str], device: torch.device, *, has_guide: bool
) -> None:
    """Find wrong layers before a picture is read; what this makes is kept."""
    for objective in (recipe.objective, *objectives):
        climb = prepare(recipe.evolve(objective=objective), device)
        if not has_guide:
            climb.refuse_without_guide()


def _recipe(options: argparse.Namespace) -> tuple[Recipe, str | None]:
    """Preset or recipe file first, then what the user said; and the digest of its weights."""
    base, digest = Recipe(), None
    if options.preset is not None:
        preset = find("preset", registry().presets(), options.preset)
        base = preset.recipe
        if preset.notice:
            say(f"{preset.name}: {preset.notice}", sys.stderr)
    elif options.recipe is not None:
        record = read_recipe(user_path(options.recipe))
        base, digest = record.recipe, record.digest
        if record.is_masked and options.mask is None:
            say("The recipe was used with a mask: give it again with --mask.", sys.stderr)
        if record.is_guided and options.guide is None:
            say("The recipe was used with a guide: give it again with --guide.", sys.stderr)
        if record.regions and not options.region:
            say(
                "The recipe was used with regions: give them again with "
                + " ".join(f"--region PICTURE '{one}'" for one in record.regions),
                sys.stderr,
            )
    recipe = chosen(options, base)
    name, base_name = (each.network.partition(":")[0] for each in (recipe, base))
    if name == base_name:  # with other weights, perhaps: its layers are the same
        return recipe, digest
    if "objective" not in vars(options) and base.objective:
        say(
            f"{name} has other layers than {base_name}: its default is dreamed; "
            "choose one with --objective.",
            sys.stderr,
        )
        recipe = recipe.evolve(objective="")
    return recipe, None


def _from_nothing(recipe: Recipe, options: argparse.Namespace) -> Recipe:
    """Give the recipe of a dream without a picture its size.

    Raises:
        ImageError: a picture is needed.
    """
    if recipe.start == "picture":
        raise ImageError(
            "no picture was named; name one, or start from nothing with --start noise, "
            "--start grey or --start procedural."
        )
    if options.ray is not None:
        raise ImageError("--ray dreams on pictures; name some, or dream from nothing without it.")
    return recipe.evolve(size=recipe.size or SIDE)


def _check_names(recipe: Recipe) -> None:
    """Find what is misspelt without loading a network, which may have to be downloaded."""
    find("network", registry().networks(), recipe.network.partition(":")[0])
    find("parameterization", registry().parameterizations(), recipe.parameterization)
    if recipe.objective.strip():
        parse_objective(recipe.objective, registry().objectives())


def _read_mask(file: str) -> np.ndarray[Any, Any]:
    mask = read_picture(user_path(file))
    _tell_notes(mask)
    values = mask.values if mask.values.ndim == 2 else mask.values.mean(axis=2, dtype=np.float32)  # noqa: PLR2004
    values = values.astype(np.float32)
    if mask.values.dtype.kind == "u":
        values /= np.iinfo(mask.values.dtype).max
    if mask.alpha is not None:  # where nothing is painted, nothing is white
        values *= mask.alpha / np.float32(np.iinfo(mask.alpha.dtype).max)
    return values


def _tell_notes(picture: Picture) -> None:
    for note in picture.notes:
        say(note, sys.stderr)


def _dream_all(jobs: Sequence[Job], work: Work) -> int:
    failed = 0
    with Interrupt() as interrupt:
        for number, job in enumerate(jobs, start=1):
            interrupt.has_begun = False
            try:
                _dream_file(job, work, interrupt)
            except HOLDS_FOR_ALL:
                raise
            except ReverieError as error:
                failed += 1
                say(f"reverie: {error}", sys.stderr)
            except MemoryError:
                failed += 1
                say(f"reverie: {job.photo} does not fit into memory; set a size.", sys.stderr)
            if interrupt.asked:
                left = len(jobs) - number
                more = f"; {left} more of {len(jobs)} pictures were not begun" if left else ""
                say(f"reverie: stopped{more}.", sys.stderr)
                return 130
    if failed and len(jobs) > 1:
        say(f"{failed} of {len(jobs)} pictures could not be dreamed.", sys.stderr)
    return 1 if failed else 0


def _dream_file(job: Job, work: Work, interrupt: Interrupt) -> None:
    """Dream on one file and write it, as far as the user let it come."""
    picture = _blank(work.recipe) if job.is_blank else read_picture(job.photo)
    _tell_notes(picture)
    check_output(job.place(), overwrite=job.replaces, like=at_size(picture, work.recipe.size))
    with progress(job.photo.name, interrupt, quiet=work.quiet) as on_step:
        dreamed, record, done = dream_picture(
            picture, work, on_step, interrupt.obey, is_blank=job.is_blank
        )
    del picture  # writing needs its memory
    out = job.place()
    write_picture(out, dreamed.values, like=dreamed, record=record, overwrite=job.replaces)
    if done < 1:
        say(f"reverie: {out} has the dream so far, {int(done * 100)} %.", sys.stderr)
    say(str(out))  # alone on its line, for programs that read on


def dream_picture(
    picture: Picture,
    work: Work,
    on_step: Callable[[Step], None] | None = None,
    on_tile: Callable[[], None] | None = None,
    *,
    is_blank: bool = False,
) -> tuple[Picture, str, float]:
    """Dream on one picture; give the dream, its record, and how much of it was done, 0..1.

    With `is_blank` the picture gives only the size, and no objective compares with it.
    """
    done = 1.0
    climb, size = prepare(work.recipe, work.device), fit(picture.size, work.recipe.size)
    memory = working_memory(work.memory, picture, size, climb, work.device)
    try:
        result = dream_on(
            # As whole numbers, which take a quarter of floats.
            None if is_blank else picture.values,
            work.recipe,
            mask=work.mask,
            guide=work.guide,
            regions=work.regions,
            device=work.device,
            memory=memory,
            on_step=on_step,
            on_tile=on_tile,
        )
    except Cancelled as cancelled:
        result, done = cancelled.image, cancelled.done
    result = np.asarray(result)
    record = write_record(
        work.recipe,
        digest=work.network.digest,
        device=str(work.device),
        done=done,
        is_masked=work.mask is not None,
        is_guided=work.guide is not None,
        regions=[objective for _, objective in work.regions],
    )
    alpha = None if picture.alpha is None else resized_alpha(picture.alpha, result.shape[:2])
    return replace(picture, values=result, alpha=alpha), record, done


def _blank(recipe: Recipe) -> Picture:
    return Picture(np.asarray(blank(recipe)))


def at_size(picture: Picture, size: int) -> Picture:
    """Give a stand-in with the shape that the dream will have; its pixels take no memory."""
    height, width = fit(picture.size, size)
    return replace(picture, values=np.broadcast_to(np.float32(0), (height, width, 3)))
