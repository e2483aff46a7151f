"""A real ComfyUI with the node pack in it; `make test-comfyui COMFYUI=DIR` says where it is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

import pack
import reverie
from comfy_server import ComfyServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM = "COMFYUI"
"""Environment variable: ComfyUI's folder; without it, these tests are left out."""
PYTHON = "COMFYUI_PYTHON"
"""Environment variable: the interpreter that has what ComfyUI needs."""
QUIET = {"OMP_NUM_THREADS": "1", "REVERIE_OFFLINE": "1"}


@dataclass(frozen=True)
class Comfy:
    """Where a ComfyUI is."""

    program: Path
    python: str

    def start(self, base: Path, **extra: str) -> ComfyServer:
        """Start it with the pack in a base folder."""
        with Image.open(Path(reverie.__file__).parent / "samples" / "sky.jpg") as sky:
            small = sky.convert("RGB").resize((192, 128), Image.Resampling.LANCZOS)
        (base / "input").mkdir(parents=True, exist_ok=True)
        small.save(base / "input" / "photo.png")
        home = str(base / "torch")
        return ComfyServer(self.program, self.python, base, TORCH_HOME=home, **{**QUIET, **extra})


@pytest.fixture(scope="session")
def comfy() -> Comfy:
    folder = os.environ.get(PROGRAM)
    if not folder:
        pytest.skip("needs a real ComfyUI: make test-comfyui COMFYUI=DIR")
    assert (Path(folder) / "main.py").is_file(), f"{folder} is not ComfyUI's folder"
    python = os.environ.get(PYTHON) or str(Path(folder) / ".venv" / "bin" / "python")
    return Comfy(Path(folder).resolve(), python)


@pytest.fixture(scope="session")
def server(comfy: Comfy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """A server that found the pack as a clone in custom_nodes."""
    base = tmp_path_factory.mktemp("comfyui")
    pack.clone(base)
    started = comfy.start(base)
    yield started
    started.stop()


@pytest.fixture
def other_server(
    comfy: Comfy, tmp_path: Path
) -> Iterator[Callable[[Callable[[Path], Path], dict[str, str]], ComfyServer]]:
    """Start another: given how the pack gets there, and its environment."""
    started: list[ComfyServer] = []

    def start(put: Callable[[Path], Path], extra: dict[str, str]) -> ComfyServer:
        put(tmp_path)
        started.append(comfy.start(tmp_path, **extra))
        return started[-1]

    yield start
    for one in started:
        one.stop()
