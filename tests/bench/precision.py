"""Compares what each precision reaches: python tests/bench/precision.py PICTURE...

The ascent is chaotic, so pictures cannot be compared pixel by pixel: a rounding error or another
seed gives another picture of the same kind. What counts is how high a dream climbs. The table gives
the objective after the last step, in per cent of float32's, for each precision and for float32 with
other seeds, which says what chance alone does.
"""

from __future__ import annotations

import argparse
from statistics import mean
from typing import TYPE_CHECKING

from PIL import Image

from reverie import Recipe, Step, dream

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = 3


def main() -> None:
    """Dream each picture in each precision."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("pictures", nargs="+", metavar="PICTURE")
    parser.add_argument("--network", default="embedded")
    parser.add_argument("--size", type=int, default=512)
    options = parser.parse_args()
    recipe = Recipe(network=options.network, size=options.size, octaves=3, steps=8)
    print("| picture | mixed | bf16 | float32, other seeds |")  # noqa: T201
    print("|---|---|---|---|")  # noqa: T201
    for place in options.pictures:
        exact = reached(place, recipe.evolve(precision="float32"))
        columns = [
            f"{100 * reached(place, recipe.evolve(precision=each)) / exact:.1f} %"
            for each in ("mixed", "bf16")
        ]
        others = [
            100 * reached(place, recipe.evolve(precision="float32", seed=seed)) / exact
            for seed in range(1, SEEDS + 1)
        ]
        spread = f"{min(others):.1f} to {max(others):.1f}, mean {mean(others):.1f} %"
        print(f"| {place} | {' | '.join(columns)} | {spread} |", flush=True)  # noqa: T201


def reached(place: str | Path, recipe: Recipe) -> float:
    """The objective before the last step."""
    steps: list[Step] = []
    with Image.open(place) as picture:
        dream(picture, recipe, on_step=steps.append, device="cpu")
    return steps[-1].value


if __name__ == "__main__":
    main()
