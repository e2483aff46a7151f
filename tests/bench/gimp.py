"""What GIMP and the worker add to a dream: python tests/bench/gimp.py

The filter in a real GIMP (see tests/hosts/gimp/root.sh) and the same dream by the library take
turns in one run, with the same number of threads; the library's time is subtracted. A selection in
a 24-megapixel picture is compared with a picture of the selection's size.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import reverie

sys.path.append(str(Path(__file__).parents[1] / "hosts" / "gimp" / "kit"))

from place import Place, worker_processes
from real_gimp import RealGimp, missing

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as reverie's commands; see neighbour.py
import torch

ROUNDS = 5
LARGE = (6000, 4000)
SIDE = 500
RECIPE = reverie.Recipe()


def photo(size: tuple[int, int], path: Path) -> Path:
    """Enlarge the sample of a sky."""
    with Image.open(Path(reverie.__file__).parent / "samples" / "sky.jpg") as sky:
        sky.convert("RGB").resize(size).save(path, compress_level=1)
    return path


def engine(side: int) -> float:
    """Seconds of one dream by the library alone."""
    image = torch.from_numpy(np.random.default_rng(0).random((1, 3, side, side), np.float32))
    start = time.perf_counter()
    reverie.dream(image, RECIPE)
    return time.perf_counter() - start


def filtering(gimp: RealGimp, path: Path, select: str = "") -> float:
    """Seconds of one call of the filter, as a script sees them."""
    found: dict[str, Any] = gimp.run(
        f"""
image = load({str(path)!r})
{select}
start = time.perf_counter()
result = dream(image, image.get_layers())
answer({{"seconds": time.perf_counter() - start, **result}})
image.delete()
""",
        patience=600,
    )
    if found["status"] != "success":
        raise SystemExit(found["sentence"])
    return float(found["seconds"])


def main() -> None:
    """Measure, and print a table."""
    if reason := missing():
        raise SystemExit(reason)
    times: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        place = Place.install(work)
        small = photo((512, 512), work / "small.png")
        selected = photo((SIDE, SIDE), work / "selected.png")
        large = photo(LARGE, work / "large.png")
        gimp = RealGimp(place.profile, work)
        try:
            first = filtering(gimp, small)
            engine(512)
            print(f"first call, with the worker's start: {first:.2f} s")  # noqa: T201
            selection = f"{SIDE} px selected of {LARGE[0]} x {LARGE[1]}"
            for _ in range(ROUNDS):
                times["512 px"].append((filtering(gimp, small), engine(512)))
                times[selection].append(
                    (filtering(gimp, large, _select()), filtering(gimp, selected))
                )
            for name, pairs in times.items():
                added = statistics.median(one - other for one, other in pairs)
                base = statistics.median(other for _, other in pairs)
                print(f"{name}: {base:.2f} s alone, {added:+.2f} s here")  # noqa: T201
            (worker,) = worker_processes(place)
            status = Path(f"/proc/{worker}/status").read_text("utf-8")
            rss = next(line for line in status.splitlines() if line.startswith("VmRSS"))
            print(f"the worker, idle after these: {int(rss.split()[1]) / 1000:.0f} MB")  # noqa: T201
        finally:
            gimp.close()


def _select() -> str:
    x, y = (LARGE[0] - SIDE) // 2, (LARGE[1] - SIDE) // 2
    return f"image.select_rectangle(Gimp.ChannelOps.REPLACE, {x}, {y}, {SIDE}, {SIDE})"


if __name__ == "__main__":
    main()
