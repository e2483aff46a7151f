"""`reverie dream`: from files to dreams, with progress, and without losing anything."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from reverie.cli.host import from_image, to_image
from reverie.cli.options import chosen
from reverie.cli.speech import DownloadBar, say
from reverie.device import choose_device
from reverie.engine.dream import Step
from reverie.engine.dream import dream as dream_on
from reverie.engine.prepare import resolve
from reverie.errors import Cancelled, ImageError, ReverieError
from reverie.networks.loading import LoadedNetwork, load_network
from reverie.picture import (
    check_output,
    find_pictures,
    free_name,
    read_picture,
    write_picture,
)
from reverie.plugins import find, registry
from reverie.recipe import Recipe
from reverie.record import read_recipe, write_record

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    import torch
    from torch import Tensor


def dream(options: argparse.Namespace) -> int:
    """Dream on every picture named; one that fails does not keep the others from being dreamed."""
    recipe, digest = _recipe(options)
    device = choose_device(options.device)
    pictures = find_pictures([Path(photo).expanduser() for photo in options.photos])
    jobs = [(path, _output(path, options, several=len(pictures) > 1)) for path in pictures]
    for _, out in jobs:
        check_output(out, overwrite=options.overwrite)
    with DownloadBar(recipe.network, quiet=options.quiet) as bar:
        network = load_network(recipe.network, on_progress=bar.update)
    if digest not in {None, network.digest}:
        say("The recipe was made with other weights; this dream will differ.", sys.stderr)
    recipe = resolve(recipe, device)
    failed = 0
    for path, out in jobs:
        try:
            if not _dream_file(path, out, recipe, network, device, options):
                return 130
        except ReverieError as error:
            failed += 1
            say(f"reverie: {error}", sys.stderr)
    if failed and len(jobs) > 1:
        say(f"{failed} of {len(jobs)} pictures could not be dreamed.", sys.stderr)
    return 1 if failed else 0


def _recipe(options: argparse.Namespace) -> tuple[Recipe, str | None]:
    """Preset or recipe file first, then what the user said."""
    base, digest = Recipe(), None
    if options.preset:
        preset = find("preset", registry().presets(), options.preset)
        base = preset.recipe
        if preset.notice:
            say(f"{preset.name}: {preset.notice}", sys.stderr)
    elif options.recipe:
        base, digest = read_recipe(Path(options.recipe).expanduser())
    recipe = chosen(options, base)
    if recipe.network != base.network:
        digest = None
        if "objective" not in vars(options) and base.objective:
            say(
                f"{recipe.network} has other layers than {base.network}: its default is dreamed; "
                "choose one with --objective.",
                sys.stderr,
            )
            recipe = recipe.evolve(objective="")
    return recipe, digest


def _output(path: Path, options: argparse.Namespace, *, several: bool) -> Path:
    name = f"{path.stem}.dream.png"
    if options.output is None:
        beside = path.with_name(name)
        return beside if options.overwrite else free_name(beside)
    out = Path(options.output).expanduser()
    if out.is_dir():
        return out / name if options.overwrite else free_name(out / name)
    if several:
        raise ImageError(
            f"{out} must be a folder that exists: there are several pictures to write."
        )
    return out


def _dream_file(
    path: Path,
    out: Path,
    recipe: Recipe,
    network: LoadedNetwork,
    device: torch.device,
    options: argparse.Namespace,
) -> bool:
    """Dream on one file and write it; False if the user stopped it."""
    picture = read_picture(path)
    for note in picture.notes:
        say(note, sys.stderr)
    mask = (
        read_picture(Path(options.mask).expanduser()).pixels.mean(axis=2) if options.mask else None
    )
    done = 1.0
    try:
        with _progress(path.name, quiet=options.quiet) as on_step:
            result: Tensor = dream_on(
                to_image(picture), recipe, mask=mask, device=device, on_step=on_step
            )
    except Cancelled as cancelled:
        if cancelled.image is None:
            say("stopped before the first step; nothing was written.", sys.stderr)
            return False
        result, done = cancelled.image, cancelled.done
    record = write_record(recipe, digest=network.digest, device=str(device), done=done)
    dreamed = from_image(result, picture)
    write_picture(out, dreamed.pixels, like=picture, record=record, overwrite=options.overwrite)
    say(f"{'stopped; the dream so far is in ' if done < 1 else ''}{out}")
    return done == 1


@contextmanager
def _progress(name: str, *, quiet: bool) -> Iterator[Callable[[Step], None]]:
    """Show a bar with time left and the objective, and turn the first Ctrl-C into `Cancelled`."""
    stopped = False

    def stop(*_: Any) -> None:
        nonlocal stopped
        stopped = True
        signal.signal(signal.SIGINT, signal.default_int_handler)  # the second one stops at once

    layout = "{desc} {percentage:3.0f}% |{bar:24}| {elapsed}, {remaining} left{postfix}"
    before = signal.signal(signal.SIGINT, stop)
    with tqdm(total=1.0, desc=name, bar_format=layout, disable=quiet or None, leave=False) as bar:

        def on_step(step: Step) -> None:
            bar.set_postfix_str(
                f"octave {step.octave}/{step.octaves}, objective {step.value:.4g}", refresh=False
            )
            bar.update(step.done - bar.n)
            if stopped:
                raise Cancelled

        try:
            yield on_step
        finally:
            signal.signal(signal.SIGINT, before)
