"""The command: write the named scenes, or all, as JPEG files into the folder named first."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from .arrays import Array
from .garden import garden
from .mountains import mountains
from .night import night
from .sky import sky

Scene = Callable[[int, int, int], Array]

SCENES: dict[str, tuple[Scene, int]] = {
    "sky": (sky, 10),
    "mountains": (mountains, 12),
    "night": (night, 9),
    "garden": (garden, 7),
}
"""The scenes, each with the seed whose picture is shipped."""
LIMIT = 195_000
"""bytes of a file: the pictures travel in the wheel."""


def main(arguments: Sequence[str]) -> None:
    """Write the named scenes, or all, as JPEG files into the folder named first."""
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name in arguments[1:] or SCENES:
        scene, seed = SCENES[name]
        image = Image.fromarray(np.round(scene(1024, 640, seed) * 255).astype(np.uint8))
        for quality in (90, 87, 84, 81, 78, 75):
            image.save(folder / f"{name}.jpg", quality=quality, optimize=True)
            if (folder / f"{name}.jpg").stat().st_size < LIMIT:
                break


if __name__ == "__main__":
    main(sys.argv[1:])
