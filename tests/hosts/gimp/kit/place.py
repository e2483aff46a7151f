"""A profile of GIMP's with the plug-in, as `reverie install gimp` makes it, and its worker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.worker.knocking import ask

FAST = {"octaves": 2, "steps": 3, "precision": "float32"}
"""What tests dream: enough to change a picture."""


@dataclass(frozen=True)
class Place:
    """Folders that GIMP and the tests share."""

    work: Path
    profile: Path
    worker: Path

    @classmethod
    def install(cls, work: Path) -> Place:
        """Make one in an empty folder."""
        place = cls(work, work / "profile" / "GIMP" / "3.0", work / "w")
        place.profile.mkdir(parents=True)
        done = reverie_command(
            "install", "gimp", "--path", str(place.profile), REVERIE_WORKER_DIR=str(place.worker)
        )
        assert done.returncode == 0, done.stderr
        return place


def reverie_command(*words: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "reverie", *words],
        env={**os.environ, **extra},
        capture_output=True,
        text=True,
        check=False,
    )


def pixels(saved: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Read what `save` wrote in GIMP: (H, W, 4)."""
    return np.fromfile(saved["file"], np.float32).reshape(saved["shape"])


def processes(*words: str) -> list[int]:
    """Find processes by words of their command lines."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if all(word in line for word in words):
            found.append(int(folder.name))
    return found


def worker_processes(place: Place) -> list[int]:
    return processes("reverie", "worker", str(place.worker))


def jobs(place: Place) -> int:
    """Ask the worker how many dreams it has; 0 if there is none."""
    answer = ask(place.worker, {"do": "status"})
    return 0 if answer is None else int(answer["jobs"])


def wait_until(condition: Any, patience: float = 60) -> None:
    until = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)
