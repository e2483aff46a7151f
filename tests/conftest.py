"""Pictures and networks that tests share."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

import reverie

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

SHARED = Path(os.environ.get("REVERIE_SHARED", Path(__file__).parents[2] / "shared"))
"""Has a real network, which is not part of the repository; tests that need it skip without."""


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is not here; set REVERIE_SHARED to the folder that has it")
    return path


NO_GPU = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "HIP_VISIBLE_DEVICES": "-1",
    "ONEAPI_DEVICE_SELECTOR": "*:cpu",
}
"""What the environment says to a process that shall see no GPU of NVIDIA's, AMD's or Intel's."""
GPU = os.environ.get("REVERIE_TEST_DEVICE", "cuda")
"""Where tests marked gpu run; REVERIE_TEST_DEVICE=cpu lets the CPU stand in, to try the tests."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Hide GPUs from all tests, with their fixtures of every scope, that are not marked gpu."""
    with pytest.MonkeyPatch.context() as patch:
        if item.get_closest_marker("gpu") is None or GPU == "cpu":
            _hide_gpus(patch)
        return (yield)


def _hide_gpus(patch: pytest.MonkeyPatch) -> None:
    """Let PyTorch find none, here and in processes that are started.

    This process's own environment stays: CUDA reads it once, and would be blind ever after.
    """
    backends = (torch.cuda, torch.mps, torch.xpu, torch.backends.mps)
    for backend in (*backends, getattr(torch, "accelerator", torch.cuda)):
        # PyTorch's compiler looks for what a cache wraps there, wherever it is imported.
        patch.setattr(backend, "is_available", cache(lambda: False), raising=False)
    for backend in (torch.cuda, torch.xpu):
        patch.setattr(backend, "device_count", lambda: 0, raising=False)
    start: Any = subprocess.Popen.__init__

    def blind(process: Any, *words: Any, env: Any = None, **options: Any) -> None:
        env = {**(os.environ if env is None else env), **NO_GPU}
        start(process, *words, env=env, **options)

    patch.setattr(subprocess.Popen, "__init__", blind)


@pytest.fixture(scope="session")
def gpu() -> torch.device:
    """The device of tests marked gpu, which skip where there is none."""
    if GPU == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return torch.device(GPU)


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's caches, or reaches the network."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("TORCH_HOME", str(home / "torch"))
    monkeypatch.setenv("REVERIE_OFFLINE", "1")
    monkeypatch.delenv("REVERIE_WEIGHTS", raising=False)


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Several threads on a tiny picture wait for each other, most of all on a busy machine."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def squeezenet() -> str:
    """A real ImageNet network, as a recipe names it."""
    return f"squeezenet1_0:{shared('networks/squeezenet1_0.fp16.safetensors')}"


@pytest.fixture(scope="session")
def bvlc_googlenet() -> str:
    """The network of 2015, as a recipe names it."""
    return f"bvlc_googlenet:{shared('networks/bvlc_googlenet.fp16.safetensors')}"


@pytest.fixture(scope="session")
def flowers() -> Image.Image:
    """A meadow with yellow and white flowers, 320 x 240 px: a photo that a camera took."""
    return Image.open(shared("photos/flowers.jpg")).convert("RGB")


@pytest.fixture(scope="session")
def photo() -> Image.Image:
    """Clouds as a camera would see them, 256 px wide: the picture that reverie ships."""
    samples = Path(reverie.__file__).parent / "samples"
    picture = Image.open(samples / "sky.jpg").convert("RGB")
    return picture.resize((256, 160), Image.Resampling.LANCZOS)


@pytest.fixture(scope="session")
def picture() -> torch.Tensor:
    """A small picture of coloured waves, (1, 3, 71, 97), 0.1..0.9: odd sides, nothing flat."""
    row = np.linspace(0, 9, 71)[:, None]
    column = np.linspace(0, 14, 97)[None]
    waves = [np.sin(row + k) * np.cos(column * (1 + k / 5)) for k in range(3)]
    return torch.from_numpy(np.stack(waves)[None]).float() * 0.4 + 0.5
