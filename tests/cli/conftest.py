"""The command line in this process, and small pictures to dream on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from reverie.cli import main

if TYPE_CHECKING:
    from pathlib import Path


LEAST = "--size 48 --octaves 1 --steps 1 --objective outlines --precision float32"


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def paths(self) -> list[str]:
        return self.out.splitlines()

    @property
    def sentence(self) -> str:
        """What was said to be wrong: one line, on standard error."""
        assert self.code == 1, self
        assert not self.out
        said = [line for line in self.err.splitlines() if line.startswith("reverie: ")]
        assert len(said) == 1, self.err
        assert "Traceback" not in self.err
        return said[0]


@dataclass(frozen=True)
class CommandLine:
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: str | Path) -> Answer:
        self.capsys.readouterr()
        code = main([str(word) for word in words])
        said = self.capsys.readouterr()
        return Answer(code, said.out, said.err)

    def dream(self, *words: str | Path) -> Answer:
        """Dream as little as possible; options in `words` come later and win."""
        return self("dream", *LEAST.split(), *words)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


@pytest.fixture
def pixels() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Waves, (48, 40, 3): nothing flat, nothing noisy."""
    rows, columns = np.mgrid[0:48, 0:40]
    planes = [np.sin(rows / (4 + k)) * np.cos(columns / (5 + k)) for k in range(3)]
    return (np.stack(planes, axis=2) * 100 + 128).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the working directory."""
    place = tmp_path / "pictures"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def waves(folder: Path, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Path:
    path = folder / "waves.png"
    Image.fromarray(pixels).save(path)
    return path
