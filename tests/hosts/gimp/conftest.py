"""A GIMP 3 with the plug-in installed, as `reverie install gimp` does it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import reverie
from real_gimp import RealGimp, missing
from worker_client import WorkerError, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

WANTED = "REVERIE_TEST_GIMP"
"""Set by `make test-gimp`: without it these tests are left out, with it they must run."""
HERE = Path(__file__).parent
FAST = {"octaves": 2, "steps": 3, "precision": "float32"}
"""What tests dream: enough to change a picture."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get(WANTED):
        return
    skip = pytest.mark.skip(reason="needs a real GIMP 3: make test-gimp")
    for item in items:
        if HERE in Path(item.fspath).parents:
            item.add_marker(skip)


@dataclass(frozen=True)
class Place:
    """Folders that GIMP and the tests share."""

    work: Path
    profile: Path
    worker: Path


def reverie_command(*words: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "reverie", *words],
        env={**os.environ, **extra},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    work = tmp_path_factory.mktemp("gimp")
    found = Place(work, work / "profile" / "GIMP" / "3.0", work / "w")
    found.profile.mkdir(parents=True)
    done = reverie_command(
        "install", "gimp", "--path", str(found.profile), REVERIE_WORKER_DIR=str(found.worker)
    )
    assert done.returncode == 0, done.stderr
    yield found
    for process in worker_processes(found):
        os.kill(process, signal.SIGTERM)


@pytest.fixture(scope="session")
def gimp(place: Place) -> Iterator[RealGimp]:
    reason = missing()
    assert not reason, reason
    program = RealGimp(place.profile, place.work)
    program.run("answer(None)")  # it has started
    yield program
    program.close()


@pytest.fixture(scope="session")
def photo_file(place: Place) -> Path:
    """Clouds, 192 x 128 px, 8 bits."""
    samples = Path(reverie.__file__).parent / "samples"
    path = place.work / "photo.png"
    with Image.open(samples / "sky.jpg") as picture:
        picture.convert("RGB").resize((192, 128), Image.Resampling.LANCZOS).save(path)
    return path


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
    """Ask the worker how many dreams it has."""
    facts = place.profile / "plug-ins" / "reverie-dream" / "installation.json"
    try:
        link = connect(json.loads(facts.read_text("utf-8")), lambda: None)
    except WorkerError:
        return 0
    with link:
        link.ask({"do": "status"})
        return int(link.receive()[0]["jobs"])


def wait_until(condition: Any, patience: float = 30) -> None:
    until = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)
