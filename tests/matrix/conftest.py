"""The networks of the matrix, as reverie finds them: in files, and through a plug-in."""

from __future__ import annotations

import os
import sys
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


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Two here: the matrix shares nothing with others, and its networks are large enough."""
    before = torch.get_num_threads()
    torch.set_num_threads(int(os.environ.get("T", "2")))
    yield
    torch.set_num_threads(before)


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
def recipe_name(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Say what a recipe calls a network; weights of torchvision's are written when first asked."""
    folder = tmp_path_factory.mktemp("weights")

    def named(name: str) -> str:
        if name not in FAMILIES:
            return name
        path = folder / f"{name}.safetensors"
        if not path.exists():
            save_weights(name, path, waves((96, 128), 5))
        return f"{name}:{path}"

    return named


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
