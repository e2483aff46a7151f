from __future__ import annotations

import errno
import gc
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from reverie import ReverieError
from reverie.engine import canvas

SHAPE = (1, 3, 2048, 2056)
MEMORY = torch.empty(0)
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def in_file() -> torch.Tensor:
    return canvas.empty(SHAPE, like=MEMORY, in_file=True)


def resident(kind: str) -> int:
    """MB of this process that are in memory now: RssFile, RssAnon or VmRSS."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(kind))


def test_a_tensor_in_a_file_is_like_any_other() -> None:
    image = in_file()
    image.fill_(0.25)
    image[:, 1] += 0.5
    assert image.shape == SHAPE
    assert image.dtype is torch.float32
    assert image.is_contiguous()
    assert canvas.lives_in_file(image)
    assert canvas.lives_in_file(image[:, :, 5:9])
    assert float(image[:, 1].min()) == 0.75
    copy = canvas.copied(image)
    assert canvas.lives_in_file(copy)
    assert torch.equal(copy, image)
    image.zero_()
    assert float(copy.min()) == 0.25


def test_what_is_made_of_it_is_in_a_file_unless_it_is_small() -> None:
    image = in_file()
    assert canvas.lives_in_file(canvas.empty((1, 1, 3000, 3000), like=image[:, :, 7:9]))
    assert not canvas.lives_in_file(canvas.empty((1, 3, 1024, 1024), like=image))
    assert not canvas.lives_in_file(canvas.empty(SHAPE, like=MEMORY))


def test_the_file_is_gone_with_the_tensor_and_has_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    before = len(canvas._files)
    image = in_file()
    assert len(canvas._files) == before + 1
    if os.name == "posix":
        assert not list(tmp_path.iterdir()), "nothing stays behind when the process is killed"
    part = image[:, :, :3]
    del image
    gc.collect()
    assert canvas.lives_in_file(part)
    del part
    gc.collect()
    assert len(canvas._files) == before


@needs_linux
def test_memory_is_handed_back_band_by_band_and_nothing_is_lost() -> None:
    image = in_file()
    before = resident("RssFile")
    for number, rows in enumerate(canvas.bands(image)):
        image[:, :, rows] = number
    assert resident("RssFile") - before < 10, "of 50 MB"
    last = 0
    for number, rows in enumerate(canvas.bands(image)):
        assert torch.all(image[:, :, rows] == number)
        last = number
    assert last > 10
    assert resident("RssFile") - before < 10


def test_bands_cover_all_rows_once() -> None:
    rows = list(canvas.bands(torch.empty(2, 3, 1000, 701), most=701 * 13))
    assert [part.start for part in rows] == list(range(0, 1000, 13))
    assert [part.stop for part in rows] == [*range(13, 1000, 13), 1000]
    assert list(canvas.bands(torch.empty(1, 3, 3, 10**6), most=10)) == [
        slice(0, 1),
        slice(1, 2),
        slice(2, 3),
    ]
    assert list(canvas.bands(torch.empty(1, 3, 224, 224))) == [slice(0, 224)]


def test_a_full_disk_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(canvas, "_reserve", full)
    with pytest.raises(ReverieError, match=r"of 0\.1 GB cannot be made in .*No space left.*TMPDIR"):
        in_file()


def test_room_is_taken_before_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for has_call in (True, False):
        if not has_call:
            monkeypatch.delattr(os, "posix_fallocate", raising=False)
        with (tmp_path / f"{has_call}").open("w+b") as file:
            canvas._reserve(file, 3 * 2**20 + 5)
            assert os.fstat(file.fileno()).st_size == 3 * 2**20 + 5
            if os.name == "posix":
                assert os.fstat(file.fileno()).st_blocks * 512 >= 3 * 2**20


def test_the_user_chooses_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert canvas._folder() == str(tmp_path)
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(canvas, "_DISK", str(tmp_path / "none"))
    assert canvas._folder() == tempfile.gettempdir()


def test_only_large_pictures_that_leave_no_room_go_to_a_file() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    large, small = (1, 3, 4000, 6000), (1, 3, 1024, 1024)
    bytes_of_four = 4 * 4 * 3 * 4000 * 6000
    assert canvas.taken_by(large) == bytes_of_four
    assert canvas.taken_by(large, in_file=True) == canvas.taken_by(small) < bytes_of_four / 20
    assert canvas.belongs_in_file(large, 4 * bytes_of_four - 1, cpu)
    assert not canvas.belongs_in_file(large, 4 * bytes_of_four, cpu)
    assert not canvas.belongs_in_file(large, None, cpu)
    assert not canvas.belongs_in_file(large, 1, gpu)
    assert not canvas.belongs_in_file(small, 1, cpu)
