"""What large pictures cost: python tests/bench/large.py [--memory 1.5G]

Dreams on made pictures of 24 and 100 megapixels with the command line, each in a process of its
own, and prints peak memory (the process's whole, Python and torch included) and seconds a step; per
megapixel too, so that one sees whether they grow in proportion. A step's seconds are those between
the last two steps, which are at full size. Linux and macOS tell the peak.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from watched import watch

MAKE = """
import sys
import numpy as np
from PIL import Image
width, height, file = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
draw = np.random.default_rng(0)
pixels = np.empty((height, width, 3), np.uint8)
waves = 110 + 70 * np.sin(np.arange(width)[:, None] / [40, 90, 230])
for row in range(height):
    pixels[row] = waves + 30 * np.sin(row / 70) + draw.integers(0, 16, (width, 3))
Image.fromarray(pixels).save(file)
"""
"""A picture of waves and some noise, made elsewhere: a child counts its parent's memory too."""
SHAPES = {24: (6000, 4000), 100: (12240, 8170)}
"""Width and height in px, by megapixels."""


def main() -> None:
    """Measure what the command's words ask for, and print a row at a time."""
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--memory", nargs="+", default=[""], help="budgets for reverie, as 1.5G")
    words.add_argument("--megapixels", nargs="+", type=int, choices=SHAPES, default=list(SHAPES))
    words.add_argument("--formats", nargs="+", default=["jpg"], help="of jpg png tif")
    words.add_argument("--octaves", nargs="+", type=int, default=[1, 3])
    words.add_argument("--steps", type=int, default=2, help="in each octave, 2 or more")
    words.add_argument("--network", default="embedded")
    words.add_argument("--precision", default="auto")
    options = words.parse_args()
    if options.steps < 2:
        words.error("--steps: give 2 or more; a step's time is taken between two.")
    _row("picture", "octaves", "budget", "peak MB", "MB/MP", "s/step", "s/step/MP", "s in all")
    _row("---", *(["--:"] * 7))
    with tempfile.TemporaryDirectory() as folder:
        for megapixels in options.megapixels:
            for suffix in options.formats:
                picture = Path(folder, f"made.{suffix}")
                shape = map(str, SHAPES[megapixels])
                subprocess.run([sys.executable, "-c", MAKE, *shape, str(picture)], check=True)
                for octaves in options.octaves:
                    for memory in options.memory:
                        _measure(picture, megapixels, octaves, memory, options)


def _measure(
    picture: Path, megapixels: int, octaves: int, memory: str, options: argparse.Namespace
) -> None:
    command = ["dream", str(picture), "--quiet", "--overwrite", "--octaves", str(octaves)]
    command += ["-o", str(picture.with_name(f"out{picture.suffix}"))]
    command += ["--steps", str(options.steps), "--network", options.network]
    command += ["--precision", options.precision]
    dream = watch([*command, "--memory", memory] if memory else command)
    step = dream.steps[-1] - dream.steps[-2]
    width, height = SHAPES[megapixels]
    true = width * height / 1e6
    _row(
        f"{megapixels} MP {picture.suffix[1:]}",
        str(octaves),
        memory or "none",
        f"{dream.peak_mb:.0f}",
        f"{dream.peak_mb / true:.1f}",
        f"{step:.1f}",
        f"{step / true:.3f}",
        f"{dream.seconds:.0f}",
    )


def _row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
