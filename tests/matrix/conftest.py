"""The networks of the matrix, as reverie finds them: in files, and through a plug-in."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import torch
from tests.matrix.networks_of_people import PEOPLE
from tests.matrix.scenes import waves
from tests.matrix.torchvision_families import FAMILIES, save_weights

from reverie.networks.loading import release
from reverie.plugins import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session", autouse=True)
def _people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install the plug-in, as pip would, for as long as the matrix runs."""
    site = tmp_path_factory.mktemp("site")
    facts = site / "people-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: people\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[reverie]\npeople = tests.matrix.plugin\n")
    sys.path.append(str(site))
    registry.cache_clear()
    yield
    sys.path.remove(str(site))
    registry.cache_clear()
    release()


@pytest.fixture(scope="session")
def recipe_name(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], str]]:
    """Say what a recipe calls a network; weights of torchvision's are written ahead, beside."""
    folder = tmp_path_factory.mktemp("weights")
    picture = waves((96, 128), 5)

    def write(name: str) -> Path:
        path = folder / f"{name}.safetensors"
        save_weights(name, path, picture)
        return path

    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as writer:
        wanted = dict.fromkeys(_network(item) for item in request.session.items)
        files = {name: writer.submit(write, name) for name in wanted if name in FAMILIES}

        def named(name: str) -> str:
            return f"{name}:{files[name].result()}" if name in files else name

        yield named
        writer.shutdown(cancel_futures=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what needs one network together: reverie keeps the last ones loaded."""
    mine = [item for item in items if "tests/matrix" in item.path.as_posix()]
    networks = {name: number for number, name in enumerate((*FAMILIES, *PEOPLE))}
    ordered = iter(sorted(mine, key=lambda item: networks.get(_network(item), -1)))
    own = set(mine)
    items[:] = [next(ordered) if item in own else item for item in items]


def _network(item: pytest.Item) -> str:
    return item.name.partition("[")[2].partition("-")[0].rstrip("]")


collect_ignore_glob = [] if os.environ.get("REVERIE_TEST_MATRIX") else ["test_*.py"]
"""`make test-matrix` runs them: some of the sample is still too slow for every run."""
