"""The networks whose weights are here, as recipes name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.gpu.gradients import waves
from tests.matrix.torchvision_families import save_weights

from reverie.networks.efficientnet_lite import VARIANTS
from reverie.networks.loading import release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHARED = ("squeezenet", "bvlc_googlenet")


@pytest.fixture(scope="session")
def named(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str]:
    """Say what a recipe calls a network; skip where its weights are not here.

    Those of torchvision's are drawn when they are first asked for.
    """
    folder = tmp_path_factory.mktemp("weights")

    def name_of(network: str) -> str:
        if network in SHARED:
            return str(request.getfixturevalue(network))
        if network == "embedded":
            return network
        if network in VARIANTS:
            package = VARIANTS[network].package
            if not package.is_installed():
                pytest.skip(f"{package.requirement} is not installed")
            return network
        path = folder / f"{network}.safetensors"
        if not path.exists():
            save_weights(network, path, waves((96, 128), 5))
        return f"{network}:{path}"

    return name_of


@pytest.fixture(autouse=True, scope="module")
def _own_memory() -> Iterator[None]:
    """No file begins with what another has recorded, or keeps the GPU's memory from it."""
    release()
    yield
    release()
