"""What `--memory` allows, and what is said where it is too little."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from reverie import Recipe, ReverieError
from reverie.cli.memory import PROCESS, read_size, working_memory
from reverie.engine.prepare import prepare
from reverie.picture import Picture

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1.5G", 1_500_000_000),
        ("800M", 800_000_000),
        ("800 MB", 800_000_000),
        ("2gb", 2_000_000_000),
        ("1500000000", 1_500_000_000),
        ("900000k", 900_000_000),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1G", "0", "1,5G", "1.5T", "G", "nan"])
def test_what_is_no_size_is_answered_with_an_example(cli: CommandLine, text: str) -> None:
    sentence = cli.dream("waves.png", f"--memory={text}").sentence
    assert sentence == f"reverie: --memory: {text!r} is not a size; give one such as 1.5G or 800M."


def test_the_smallest_that_can_work_is_said_and_works(cli: CommandLine, waves: Path) -> None:
    sentence = cli.dream(waves, "--memory", "500M").sentence
    assert "500M is too little for this picture and recipe" in sentence
    smallest = sentence.rpartition(" ")[2].rstrip(".")
    assert cli.dream(waves, "--memory", smallest).code == 0


def test_more_memory_than_needed_changes_nothing(cli: CommandLine, waves: Path) -> None:
    assert cli.dream(waves, "-o", "a.png").code == 0
    assert cli.dream(waves, "-o", "b.png", "--memory", "4G").code == 0
    one, other = (np.asarray(Image.open(name)) for name in ("a.png", "b.png"))
    assert np.array_equal(one, other)


def test_the_process_and_the_picture_are_taken_off_first() -> None:
    climb = prepare(Recipe(precision="float32"), CPU)
    size = (4000, 6000)
    picture = Picture(np.broadcast_to(np.uint8(0), (*size, 3)))
    assert working_memory(None, picture, size, climb, CPU) is None
    expected = 2 * 10**9 - PROCESS - 3 * 4000 * 6000
    assert working_memory(2 * 10**9, picture, size, climb, CPU) == expected
    on_gpu = working_memory(4 * 10**9, picture, size, climb, torch.device("cuda"))
    assert on_gpu == 4 * 10**9
    with pytest.raises(ReverieError, match=r"--memory: 900M .* smallest that can work is 1\d{3}M"):
        working_memory(900 * 10**6, picture, size, climb, CPU)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux says how much a process took")
def test_a_large_picture_takes_no_more_than_allowed(folder: Path) -> None:
    rows, columns = np.mgrid[0:2600, 0:3000]
    waves = np.stack([np.sin(rows / (9 + k)) * np.cos(columns / (7 + k)) for k in range(3)], axis=2)
    Image.fromarray((waves * 100 + 128).astype(np.uint8)).save("large.jpg")
    words = ["dream", "large.jpg", "--memory", "1.1G", "--octaves", "2", "--steps", "1", "-q"]
    words += ["--objective", "rings", "--precision", "float32", "-o", "large.tif"]
    code = (
        f"from reverie.cli import main\nassert main({words}) == 0\n"
        "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout.split()[-1]) * 1024 < 1.1e9
    assert sorted(path.name for path in folder.iterdir()) == ["large.jpg", "large.tif"]
