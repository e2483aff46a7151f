"""`reverie presets --sheet OUT [PHOTO]`: every look on the same picture, to choose by eye.

Nothing is downloaded for it: presets whose networks are not here are left out and named.
"""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reverie.cli.listing import chosen_presets
from reverie.cli.places import user_path
from reverie.cli.progress import Interrupt, progress
from reverie.cli.speech import say
from reverie.device import choose_device
from reverie.engine.dream import dream
from reverie.engine.octaves import fit
from reverie.engine.prepare import prepare
from reverie.errors import Cancelled, ReverieError, WeightsError
from reverie.networks.weights import find_weights
from reverie.picture import Picture, check_output, read_picture, write_picture
from reverie.plugins import find, registry

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    import torch

    from reverie.types import Preset

Array = np.ndarray[Any, Any]

_SAMPLE = Path(__file__).parent.parent / "samples" / "sky.jpg"
_DREAMED = 384
"""px of a dream's longer side: in smaller ones there is no room for a creature of four octaves."""
_CELL = 192
"""px of its longer side on the sheet."""
_GAP = 8
"""px between cells."""
_LINE = 18
"""px for the name under a cell."""
_LETTERS = 12
"""px, the size of its letters."""
_PAPER, _INK = (250, 250, 250), (20, 20, 20)
"""Red, green, blue in 0..255."""
_SHAPE = 16 / 9
"""Width of a sheet by its height, as near as whole cells come to it."""


@dataclass(frozen=True)
class _Cell:
    name: str
    image: Image.Image


def draw_sheet(options: argparse.Namespace) -> int:
    """Dream every preset on one picture, small, and write all of them as one picture.

    Ctrl-C keeps what was dreamed so far.

    Raises:
        ReverieError: a preset is unknown, none has its network here, or `options.device` is not.
        ImageError: the photo cannot be read or the sheet not be written.
    """
    out = user_path(options.sheet)
    photo = _SAMPLE if options.photo is None else user_path(options.photo)
    presets = chosen_presets(options.only)
    device = choose_device(options.device)
    check_output(out, overwrite=options.overwrite)
    picture = read_picture(photo)
    for note in picture.notes:
        say(note, sys.stderr)
    small = _shrunk(picture.pixels, _DREAMED)
    here = [preset for preset in presets if _is_here(preset)]
    if absent := [preset for preset in presets if preset not in here]:
        say(_left_out(absent), sys.stderr)
    cells, failed, stopped = _dreams(here, small, device, quiet=options.quiet)
    if not here:
        raise ReverieError("none of these presets has its network here; fetch one first.")
    if not cells:
        if stopped:
            raise KeyboardInterrupt
        return 1
    sheet = _arranged([_Cell(photo.name, small), *cells])
    like = Picture(sheet, icc=picture.icc)
    write_picture(out, sheet, like=like, overwrite=options.overwrite)
    if stopped:
        say(f"reverie: stopped; {out} has {len(cells)} of {len(here)} presets.", sys.stderr)
    say(str(out))
    return 130 if stopped else int(failed > 0)


def _is_here(preset: Preset) -> bool:
    name, _, file = preset.recipe.network.partition(":")
    network = find("network", registry().networks(), name)
    if file or network.weights is None:
        return True
    with suppress(WeightsError):  # damaged: the log has said so
        return find_weights(network.weights()) is not None
    return False


def _left_out(presets: Sequence[Preset]) -> str:
    words: dict[str, list[str]] = {}
    for preset in presets:
        words.setdefault(preset.recipe.network, []).append(preset.name)
    lists = "; ".join(f"{network}: {', '.join(names)}" for network, names in words.items())
    return f"Left out, for their networks are not here (reverie networks fetch NAME): {lists}."


def _dreams(
    presets: Sequence[Preset], image: Image.Image, device: torch.device, *, quiet: bool
) -> tuple[list[_Cell], int, bool]:
    """Dream each; give the dreams, how many presets failed, and whether the user stopped."""
    cells: list[_Cell] = []
    failed = 0
    with Interrupt() as interrupt:
        for preset in presets:
            try:
                recipe = preset.recipe.evolve(size=0)
                if prepare(recipe, device).needs_guide:
                    say(f"{preset.name} is left out: it needs a guide.", sys.stderr)
                    continue
                with progress(preset.name, interrupt, quiet=quiet) as on_step:
                    cells.append(
                        _Cell(preset.name, dream(image, recipe, device=device, on_step=on_step))
                    )
            except Cancelled:
                break
            except ReverieError as error:
                failed += 1
                say(f"reverie: {preset.name}: {error}", sys.stderr)
        return cells, failed, interrupt.asked


def _arranged(cells: Sequence[_Cell]) -> Array:
    """Lay the cells out row by row, (H, W, 3) uint8."""
    height, width = fit((cells[0].image.height, cells[0].image.width), _CELL)
    down, across = height + _LINE + _GAP, width + _GAP
    columns = max(1, min(len(cells), round(math.sqrt(len(cells) * _SHAPE * down / across))))
    rows = math.ceil(len(cells) / columns)
    sheet = Image.new("RGB", (columns * across + _GAP, rows * down + _GAP), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_LETTERS)
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        left, top = _GAP + column * across, _GAP + row * down
        sheet.paste(cell.image.resize((width, height), Image.Resampling.LANCZOS), (left, top))
        pen.text(
            (left + width / 2, top + height + _LINE / 2),
            _fitting(cell.name, font, width),
            fill=_INK,
            font=font,
            anchor="mm",
        )
    return np.asarray(sheet)


def _fitting(text: str, font: Any, width: int) -> str:
    """Shorten a name until it is no wider than its cell."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."


def _shrunk(pixels: Array, longest: int) -> Image.Image:
    levels = (pixels * 255).round().clip(0, 255).astype(np.uint8)
    height, width = fit(pixels.shape[:2], longest)
    return Image.fromarray(levels).resize((width, height), Image.Resampling.LANCZOS)
