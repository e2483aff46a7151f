"""Dreams of the student beside the teacher's: contact sheets to look at, and what they measure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image, ImageDraw

import reverie
from reverie.training.measures import checkerboard, diversity, spectrum_slope
from reverie.training.teacher import SEEN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from reverie.training.motifs import Array
    from reverie.training.teacher import Teacher

TEACHERS = {
    "rings": "features.7",
    "eyes": "features.9",
    "gazes": "features.10",
    "creatures": "features.12",
}
"""Layers of torchvision's SqueezeNet 1.0 that layers of the student learned from."""
PICTURES = ("astronaut", "chelsea", "china", "gravel", "sky", "night")
"""Held-out: a face, an animal, buildings, a texture, a sky and the dark."""
MOTIFS = (
    'channel("creatures", 219)',
    'channel("creatures", 314)',
    'channel("creatures", 90)',
    'channel("creatures", 81)',
    'logit("bald eagle")',
    'logit("castle")',
    'logit("strawberry")',
    'logit("peacock")',
)
"""Of the student: what single channels and classes dream."""
_MOTIF, _ROW = 220, 4
"""px of the square of a motif; motifs in a row."""
_WIDTH = 320
"""px of each picture of a sheet."""
_LABEL = 18
"""px of the line of text over it."""
_QUALITY = 80
"""JPEG quality, 1..100."""
_CHANNELS = 24
"""Channels of a layer whose dreams are compared."""
_LUMINANCE = np.array([0.299, 0.587, 0.114])


def sheet(picture: Array, student: str, teacher: str, layers: tuple[str, ...]) -> Image.Image:
    """Put the dreams of several layers side by side: the teacher's over the student's.

    Args:
        picture: (H, W, 3) uint8.
        student: what `Recipe.network` says.
        teacher: likewise.
        layers: of the student.
    """
    small = Image.fromarray(picture)
    small.thumbnail((_WIDTH, _WIDTH), Image.Resampling.LANCZOS)
    width, height = small.width, small.height + _LABEL
    whole = Image.new("RGB", (width * (len(layers) + 1), height * 2), "white")
    for row, (name, network) in enumerate((("teacher", teacher), ("student", student))):
        dreams = {"the picture": small} if row == 0 else {}
        for layer in layers:
            there = layer if row else TEACHERS[layer]
            dreams[f"{name}: {there}"] = _dream(small, network, there)
        for column, (label, image) in enumerate(
            dreams.items(), start=len(layers) + 1 - len(dreams)
        ):
            whole.paste(image, (column * width, row * height + _LABEL))
            ImageDraw.Draw(whole).text((column * width + 4, row * height + 3), label, "black")
    return whole


def motifs(picture: Array, network: str) -> Image.Image:
    """Dream each of `MOTIFS` into the same picture, in rows of four; a label over each."""
    small = Image.fromarray(picture).resize((_MOTIF, _MOTIF), Image.Resampling.LANCZOS)
    rows = -(-len(MOTIFS) // _ROW)
    whole = Image.new("RGB", (_ROW * _MOTIF, rows * (_MOTIF + _LABEL)), "white")
    for number, objective in enumerate(MOTIFS):
        row, column = divmod(number, _ROW)
        left, top = column * _MOTIF, row * (_MOTIF + _LABEL)
        dreamed = _dream(small, network, "", objective=objective, octaves=3, steps=16)
        whole.paste(dreamed, (left, top + _LABEL))
        ImageDraw.Draw(whole).text((left + 4, top + 3), objective, "black")
    return whole


def sheets(pictures: Mapping[str, Array], student: str, teacher: str, folder: Path) -> None:
    """Write a contact sheet of each of `PICTURES`, and one of motifs, as small JPEGs."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PICTURES:
        made = sheet(pictures[name], student, teacher, ("eyes", "gazes", "creatures"))
        made.save(folder / f"{name}.jpg", quality=_QUALITY, optimize=True)
    made = motifs(pictures["sky"], student)
    made.save(folder / "motifs.jpg", quality=_QUALITY, optimize=True)


def measured(
    pictures: Mapping[str, Array], network: str, layers: Mapping[str, str], judge: Teacher
) -> dict[str, dict[str, float]]:
    """Measure classic dreams of a network, by layer: slope, checkerboard, diversity.

    Args:
        pictures: held out; slope and checkerboard are means over `PICTURES`.
        network: what `Recipe.network` says.
        layers: from what a layer is called here to its name in the network.
        judge: says how different the dreams of a layer's channels are.
    """
    found = {}
    for name, layer in layers.items():
        changes = [_change(pictures[one], network, layer) for one in PICTURES]
        found[name] = {
            "slope": float(np.mean([spectrum_slope(change) for change in changes])),
            "checkerboard": float(np.mean([checkerboard(change) for change in changes])),
            "diversity": _diversity(pictures["sky"], network, layer, judge),
        }
    return found


def _dream(picture: Image.Image, network: str, layer: str, **settings: Any) -> Image.Image:
    objective = settings.pop("objective", f'layer("{layer}")')
    recipe = reverie.Recipe(network=network, objective=objective, **settings)
    return cast("Image.Image", reverie.dream(picture, recipe))


def _change(picture: Array, network: str, layer: str) -> Array:
    image = Image.fromarray(picture)
    image.thumbnail((512, 512), Image.Resampling.LANCZOS)
    before = np.asarray(image, np.float64)
    after = np.asarray(_dream(image, network, layer), np.float64)
    return np.asarray((after - before) @ _LUMINANCE)


def _diversity(picture: Array, network: str, layer: str, judge: Teacher) -> float:
    image = Image.fromarray(picture).resize((SEEN, SEEN), Image.Resampling.LANCZOS)
    channels = np.random.default_rng(5).choice(256, _CHANNELS, replace=False)
    dreams = [
        np.asarray(
            _dream(
                image,
                network,
                layer,
                objective=f'channel("{layer}", {number})',
                octaves=2,
                steps=20,
            )
        )
        for number in channels
    ]
    return diversity(judge, np.asarray(image), dreams)
