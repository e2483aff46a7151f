"""Makes docs/techniques/*.jpg, a tile for each technique: python tests/gallery/techniques.py FOLDER

All with the embedded network, on reverie's own renders and on pictures of scikit-image that are in
the public domain or CC0. Each tile is what the line under it makes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from skimage import data

import reverie

Array = np.ndarray[Any, Any]

SAMPLES = Path(reverie.__file__).parent / "samples"
SIDE = 256
"""px of a tile."""
LINE = 16
"""px of the text under it."""
QUALITY = 80
"""JPEG quality, 1..100."""
COLUMNS = 5


@dataclass(frozen=True)
class Tile:
    """One dream."""

    label: str
    recipe: dict[str, Any] = field(default_factory=dict)
    picture: str = "sky"
    guide: str = ""
    mask: Array | None = None
    regions: tuple[tuple[Array, str], ...] = ()
    repeats: tuple[int, int] = (1, 1)
    """How often the result is laid side by side, down and across."""


def ramp(*, down: bool = False) -> Array:
    """A mask from 0 to 1, left to right."""
    across: Array = np.linspace(0, 1, SIDE, dtype=np.float32)[None].repeat(SIDE, 0)
    return across.T if down else across


def half(*, right: bool) -> Array:
    """A mask of one half, with a soft edge."""
    soft: Array = ((ramp() - 0.5) * 8 + 0.5).clip(0, 1)
    return soft if right else 1 - soft


_OF_WAVES: dict[str, Any] = {
    "objective": "channel(creatures.0, 314)",
    "start": "noise",
    "parameterization": "fourier",
    "optimizer": "adam",
    "octaves": 1,
    "steps": 128,
    "step_size": 0.3,
    "rotate": 10,
    "scale": 0.1,
    "pad": 12,
}
_ORIGINS = reverie.registry().presets()["origins"].recipe.model_dump(exclude_unset=True)

SHEETS = {
    "objectives": (
        Tile("the picture", {"steps": 1, "step_size": 0.01, "octaves": 1}),
        Tile("creatures", {"objective": "creatures"}),
        Tile("mean(eyes)", {"objective": "mean(eyes)"}),
        Tile("absolute(rings)", {"objective": "absolute(rings)"}),
        Tile("outlines + rings", {"objective": "outlines + rings"}),
        Tile("channel(eyes, 5)", {"objective": "channel(eyes, 5)"}),
        Tile("channels(gazes, 7, 90)", {"objective": "channels(gazes, 7, 90)"}),
        Tile("neuron(creatures, 11)", {"objective": "neuron(creatures, 11)", "steps": 20}),
        Tile("strongest(gazes, 5)", {"objective": "strongest(gazes, 5)"}),
        Tile("weakest(gazes, 50)", {"objective": "weakest(gazes, 50)"}),
        Tile("middling(gazes, 20)", {"objective": "middling(gazes, 20)"}),
        Tile("above_average(eyes)", {"objective": "above_average(eyes)"}),
        Tile('direction(eyes, "3:1 40:1")', {"objective": 'direction(eyes, "3:1 40:1")'}),
        Tile("logit(castle)", {"objective": "logit(castle)"}),
        Tile('logit("bald eagle")', {"objective": 'logit("bald eagle")'}),
        Tile("gazes - 20*strongest(gazes, 5)", {"objective": "gazes - 20*strongest(gazes, 5)"}),
        Tile("guide(rings), of the garden", {"objective": "guide(rings)"}, guide="garden"),
        Tile("guide_mean(eyes), of the garden", {"objective": "guide_mean(eyes)"}, guide="garden"),
        Tile("caricature(rings)", {"objective": "caricature(rings)"}, "chelsea"),
        Tile(
            "invert(outlines, of=guide)",
            {"objective": "invert(outlines, of=guide)", "steps": 40, "optimizer": "adam"},
            guide="chelsea",
        ),
    ),
    "regularizers": (
        Tile("creatures", {"objective": "creatures"}),
        Tile("- 3e4*total_variation()", {"objective": "creatures - 3e4*total_variation()"}),
        Tile(
            "- 5e4*total_variation(of=change)",
            {"objective": "creatures - 5e4*total_variation(of=change)"},
        ),
        Tile("- 1e6*total_variation(2)", {"objective": "creatures - 1e6*total_variation(beta=2)"}),
        Tile("- 1e5*l2()", {"objective": "creatures - 1e5*l2()"}),
        Tile("- 1e6*l2_to_original()", {"objective": "creatures - 1e6*l2_to_original()"}),
        Tile("- 1e6*alpha_norm()", {"objective": "creatures - 1e6*alpha_norm()"}),
        Tile("- blur(0.7, every=2)", {"objective": "creatures - blur(0.7, every=2)"}),
        Tile("- clip_small_norm(20)", {"objective": "creatures - clip_small_norm(20)"}),
        Tile(
            "- clip_small_contribution(20)",
            {"objective": "creatures - clip_small_contribution(20)"},
        ),
    ),
    "shaping": (
        Tile("normalization mean", {}),
        Tile("normalization std", {"normalization": "std"}),
        Tile("smoothing 0.5", {"smoothing": 0.5}),
        Tile("laplacian 4", {"laplacian": 4}),
        Tile("laplacian 6, smoothing 0.5", {"laplacian": 6, "smoothing": 0.5}),
    ),
    "transforms": (
        Tile("jitter 0", {"jitter": 0}),
        Tile("rotate 20", {"rotate": 20}),
        Tile("scale 0.2", {"scale": 0.2}),
        Tile("crops 4", {"crops": 4}),
        Tile("all of lucid's", {"rotate": 10, "scale": 0.1, "pad": 12, "jitter": 12}),
    ),
    "starts": (
        Tile("start noise", {"start": "noise", "octaves": 5}),
        Tile("start grey", {"start": "grey", "octaves": 5}),
        Tile("start procedural", {"start": "procedural", "octaves": 5}),
        Tile("noise, fourier, adam", _OF_WAVES),
        Tile("the preset origins", _ORIGINS),
    ),
    "spaces": (
        Tile("pixels, plain", {}),
        Tile("pixels, adam", {"optimizer": "adam"}),
        Tile("fourier, adam", {"parameterization": "fourier", "optimizer": "adam"}),
        Tile("phase, adam", {"parameterization": "phase", "optimizer": "adam"}, "garden"),
        Tile("maco, adam", {"parameterization": "maco", "optimizer": "adam"}, "garden"),
    ),
    "places": (
        Tile("a strength map", {}, mask=ramp()),
        Tile("two regions", {}, regions=((half(right=True), "rings"),)),
        Tile("colour keep", {"colour": "keep"}, "garden"),
        Tile("colour luminance", {"colour": "luminance"}, "garden"),
        Tile("colour palette", {"colour": "palette"}, "garden"),
        Tile("50 steps", {"steps": 50}),
        Tile("50 steps, anchor 0.2", {"steps": 50, "anchor": 0.2}),
        Tile("edges tile, 2 x 2", {"edges": "tile", "octaves": 3}, "gravel", repeats=(2, 2)),
        Tile(
            "edges tile, rotate 20, 2 x 2",
            {"edges": "tile", "octaves": 3, "rotate": 20},
            "gravel",
            repeats=(2, 2),
        ),
        Tile("edges panorama, twice", {"edges": "panorama"}, repeats=(1, 2)),
    ),
}


def main() -> None:
    """Make every sheet, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("sheets", nargs="*", help=f"some of {', '.join(SHEETS)}; by default all")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.sheets or SHEETS:
        file = options.folder / f"{name}.jpg"
        sheet(SHEETS[name]).save(file, quality=QUALITY, optimize=True)
        print(file)  # noqa: T201 - a maker's script


def sheet(tiles: tuple[Tile, ...]) -> Image.Image:
    """All tiles in rows, each over its line."""
    rows = -(-len(tiles) // COLUMNS)
    whole = Image.new("RGB", (COLUMNS * SIDE, rows * (SIDE + LINE)), "white")
    for number, tile in enumerate(tiles):
        place = (number % COLUMNS * SIDE, number // COLUMNS * (SIDE + LINE))
        whole.paste(dreamed(tile), place)
        ImageDraw.Draw(whole).text((place[0] + 4, place[1] + SIDE + 2), tile.label, "black")
    return whole


def dreamed(tile: Tile) -> Image.Image:
    """What a tile shows."""
    recipe = reverie.Recipe(**tile.recipe)
    guide = square(tile.guide) if tile.guide else None
    dream = reverie.dream(
        square(tile.picture), recipe, mask=tile.mask, guide=guide, regions=tile.regions
    )
    many = np.tile(np.asarray(dream), (*tile.repeats, 1))
    return Image.fromarray(many).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def square(name: str) -> Image.Image:
    """The middle of a picture."""
    if (SAMPLES / f"{name}.jpg").exists():
        image = Image.open(SAMPLES / f"{name}.jpg").convert("RGB")
    else:
        image = Image.fromarray(getattr(data, name)()).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side)).resize(
        (SIDE, SIDE), Image.Resampling.LANCZOS
    )


if __name__ == "__main__":
    main()
