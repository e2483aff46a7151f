"""A GIMP 3 with the plug-in installed, as `reverie install gimp` does it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

import reverie
from place import Place, worker_processes
from real_gimp import RealGimp, missing

if TYPE_CHECKING:
    from collections.abc import Iterator

WANTED = "REVERIE_TEST_GIMP"
"""Set by `make test-gimp`: without it these tests are left out, with it they must run."""
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get(WANTED):
        return
    skip = pytest.mark.skip(reason="needs a real GIMP 3: make test-gimp")
    for item in items:
        if HERE in Path(item.fspath).parents:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    found = Place.install(tmp_path_factory.mktemp("gimp"))
    yield found
    for process in worker_processes(found):
        os.kill(process, signal.SIGTERM)


@pytest.fixture(scope="session")
def gimp(place: Place) -> Iterator[RealGimp]:
    reason = missing()
    assert not reason, reason
    program = RealGimp(place.profile, place.work)
    program.run("answer(None)", patience=180)  # it has started, on a busy machine too
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


@pytest.fixture(scope="session")
def guide_file(place: Place) -> Path:
    """Flowers, 120 x 80 px, 8 bits."""
    path = place.work / "guide.jpg"
    with Image.open(Path(reverie.__file__).parent / "samples" / "garden.jpg") as picture:
        picture.convert("RGB").resize((120, 80), Image.Resampling.LANCZOS).save(path)
    return path
