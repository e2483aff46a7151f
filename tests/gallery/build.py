"""Makes the README's gallery with the shipped code: python tests/gallery/build.py docs/gallery

The pictures are reverie's own renders and two that scikit-image ships: its astronaut is NASA's and
in the public domain, its cat (Chelsea, Stefan van der Walt) is CC0. `--squeezenet FILE` adds dreams
of torchvision's SqueezeNet 1.0 with weights that are already here.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from skimage import data

import reverie
from reverie.cli import main as command_line

if TYPE_CHECKING:
    from collections.abc import Mapping

Array = np.ndarray[Any, Any]

SAMPLES = Path(reverie.__file__).parent / "samples"
WIDTH = 900
"""px, of every picture of the gallery."""
QUALITY = 88
"""JPEG quality, 1..100."""


def main() -> None:
    """Make every picture of the gallery."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--squeezenet", metavar="FILE", help="torchvision's SqueezeNet 1.0 weights")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    def save(name: str, image: Image.Image) -> None:
        image.save(options.folder / f"{name}.jpg", quality=QUALITY, optimize=True)
        print(options.folder / f"{name}.jpg", image.size)  # noqa: T201 - a maker's script

    presets = reverie.registry().presets()
    sky, garden = sample("sky"), sample("garden")
    cat, astronaut = (Image.fromarray(getattr(data, name)()) for name in ("chelsea", "astronaut"))
    save("sky", side_by_side(sky, reverie.dream(sky, presets["menagerie"].recipe.evolve(size=576))))
    save("garden", dream(garden, presets["classic"].recipe))
    save("night", dream(sample("night"), presets["sightings"].recipe))
    save("mountains", dream(sample("mountains"), presets["subtle"].recipe))
    save("layers", layers(garden))
    looks_of(presets, "efficientnet_lite0", options.folder / "looks.jpg")
    looks = (("castles", sky), ("reef", garden), ("glass", sky), ("beasts", garden))
    save("presets", four([dream(image, presets[name].recipe) for name, image in looks]))
    save(
        "cat",
        side_by_side(dream(cat, presets["sightings"].recipe), dream(cat, presets["eyes"].recipe)),
    )
    save(
        "mask",
        side_by_side(astronaut, dream(astronaut, presets["classic"].recipe, frame(astronaut))),
    )
    if options.squeezenet:
        recipe = reverie.Recipe(network=f"squeezenet1_0:{options.squeezenet}")
        save("squeezenet-sky", dream(sky, recipe))
        save("squeezenet-cat", side_by_side(cat, dream(cat, recipe)))


def looks_of(presets: Mapping[str, reverie.Preset], network: str, out: Path) -> None:
    """Draw the sheet of a network's presets, as the command line does."""
    names = [preset.name for preset in presets.values() if preset.recipe.network == network]
    command_line(["presets", "--sheet", str(out), "--overwrite", "--only", *names])


def sample(name: str) -> Image.Image:
    """One of the shipped renders."""
    return Image.open(SAMPLES / f"{name}.jpg").convert("RGB")


def dream(image: Image.Image, recipe: reverie.Recipe, mask: Array | None = None) -> Image.Image:
    """Dream at the gallery's width."""
    dreamed: Image.Image = reverie.dream(
        image, recipe.evolve(size=max(WIDTH, WIDTH * image.height // image.width)), mask=mask
    )
    return dreamed


def layers(image: Image.Image) -> Image.Image:
    """What each layer of the embedded network dreams of the same corner."""
    corner = image.crop((0, 240, 400, 640)).resize((320, 320), Image.Resampling.LANCZOS)
    names = ("strokes", "outlines", "rings", "eyes", "gazes", "creatures")
    tiles = [reverie.dream(corner, reverie.Recipe(objective=name)) for name in names]
    return fitted(Image.fromarray(np.hstack([np.asarray(tile) for tile in [corner, *tiles]])))


def four(images: list[Image.Image]) -> Image.Image:
    """Four pictures in two rows, each half the gallery's width and as high as the first."""
    size = (WIDTH // 2, WIDTH // 2 * images[0].height // images[0].width)
    tiles = [np.asarray(image.resize(size, Image.Resampling.LANCZOS)) for image in images]
    return Image.fromarray(np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])]))


def frame(image: Image.Image) -> Array:
    """A soft mask that leaves the face of the astronaut alone."""
    row = np.linspace(-1, 1, image.height)[:, None]
    column = np.linspace(-1, 1, image.width)[None]
    distance: Array = np.hypot(row + 0.5, column + 0.15)
    return ((distance - 0.4) / 0.2).clip(0, 1)


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two pictures in one, each at the same height."""
    left = left.resize(right.size, Image.Resampling.LANCZOS)
    return fitted(Image.fromarray(np.hstack([np.asarray(left), np.asarray(right)])))


def fitted(image: Image.Image) -> Image.Image:
    """At most 1.5 times the gallery's width."""
    width = min(image.width, WIDTH * 3 // 2)
    return image.resize(
        (width, round(image.height * width / image.width)), Image.Resampling.LANCZOS
    )


if __name__ == "__main__":
    main()
