"""How long until something is seen: python tests/bench/startup.py [--squeezenet FILE]

Seconds from the command to the end of its first step, and to the written picture, for a picture
512 px wide and the default recipe; beside them what `import torch` takes, which no dream can avoid.
Everything runs in processes of their own, by turns, after one run that does not count and fills the
caches of files: medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from PIL import Image

import reverie
from watched import run, watch


def main() -> None:
    """Measure and print a table."""
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--squeezenet", metavar="FILE", help="SqueezeNet 1.0's weights")
    words.add_argument("--rounds", type=int, default=5)
    options = words.parse_args()
    networks = ["embedded"]
    if options.squeezenet:
        networks.append(f"squeezenet1_0:{options.squeezenet}")
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds + 1):
            for name, seconds in _round(networks, Path(folder)).items():
                if number:
                    times.setdefault(name, []).append(seconds)
    medians = {name: statistics.median(each) for name, each in times.items()}
    print("| seconds until | median | least | `import torch`'s share |\n| --- | --: | --: | --: |")  # noqa: T201
    for name, median in medians.items():
        share = f"{medians['import torch'] / median:.0%}" if ":" in name else ""
        print(f"| {name} | {median:.2f} | {min(times[name]):.2f} | {share} |")  # noqa: T201


def _round(networks: list[str], folder: Path) -> dict[str, float]:
    """Everything once, in seconds."""
    times = {}
    for name, code in (
        ("Python itself", "pass"),
        ("import reverie", "import reverie"),
        ("import torch", "import os, torch; os._exit(0)"),  # without tidying up
    ):
        times[name], _ = run([sys.executable, "-c", code])
    picture = folder / "picture.png"
    if not picture.exists():
        sky = Image.open(Path(reverie.__file__).parent / "samples" / "sky.jpg").convert("RGB")
        sky.resize((512, 512 * sky.height // sky.width)).save(picture)
    for network in networks:
        name = network.partition(":")[0]
        dream = watch([*_DREAM, str(picture), "-o", str(folder / "out.png"), "--network", network])
        times[f"{name}: first step"] = dream.steps[0]
        times[f"{name}: whole picture"] = dream.seconds
    return times


_DREAM = ("dream", "--overwrite", "--quiet")


if __name__ == "__main__":
    main()
