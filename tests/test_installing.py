"""Folders that reverie puts into other programs: whole, replaceable, never over others' work."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

import reverie
from reverie.installing import MARKER, files_in, is_free, is_ours, put_folder, remove_folder

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"adapter.py": b"#!/usr/bin/env python3\n", "web/docs/help.md": b"# Help\n"}


def contents(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in files_in(folder).items() if name != MARKER}


def test_a_folder_is_made_with_all_its_files_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "plug-ins" / "adapter"
    put_folder(target, FILES, executable="adapter.py")
    assert contents(target) == FILES
    assert json.loads((target / MARKER).read_text("utf-8"))["reverie"] == reverie.__version__
    assert os.access(target / "adapter.py", os.X_OK)
    assert os.name != "posix" or not os.access(target / "web" / "docs" / "help.md", os.X_OK)
    assert [path.name for path in target.parent.iterdir()] == ["adapter"]


def test_installing_again_replaces_what_was_installed_before(tmp_path: Path) -> None:
    target = tmp_path / "adapter"
    put_folder(target, {**FILES, "old.py": b""})
    put_folder(target, FILES)
    assert contents(target) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


@pytest.mark.parametrize(
    "what", ["file in it", "link", "dead link", "clone", "file", "other marker"]
)
def test_what_reverie_did_not_make_is_neither_replaced_nor_removed(
    tmp_path: Path, what: str
) -> None:
    target, elsewhere = tmp_path / "adapter", tmp_path / "elsewhere"
    if what in {"file in it", "clone", "other marker"}:
        target.mkdir()
        name = {"file in it": "mine.py", "clone": ".git", "other marker": MARKER}[what]
        (target / name).write_text('{"files": ["../precious"]}', "utf-8")
    elif what == "file":
        target.write_text("mine", "utf-8")
    else:
        if what == "link":
            put_folder(elsewhere, FILES)
        target.symlink_to(elsewhere)
    (tmp_path / "precious").write_text("mine", "utf-8")
    before = sorted(tmp_path.rglob("*"))
    for act in (lambda: put_folder(target, FILES), lambda: remove_folder(target)):
        with pytest.raises(reverie.InstallError, match="adapter"):
            act()
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    target = tmp_path / "adapter"
    target.mkdir()
    assert is_free(target)
    put_folder(target, FILES)
    assert is_ours(target)


def test_removing_takes_all_that_was_put_there_and_python_s_caches(tmp_path: Path) -> None:
    target = tmp_path / "adapter"
    put_folder(target, FILES)
    (target / "__pycache__").mkdir()
    (target / "__pycache__" / "adapter.pyc").write_bytes(b"")
    assert remove_folder(target) == []
    assert [path.name for path in tmp_path.iterdir()] == []


def test_what_others_have_added_stays(tmp_path: Path) -> None:
    target = tmp_path / "adapter"
    put_folder(target, FILES)
    (target / "notes.txt").write_text("mine", "utf-8")
    assert remove_folder(target) == [target / "notes.txt"]
    assert contents(target) == {"notes.txt": b"mine"}


def test_removing_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(reverie.InstallError, match="nothing is installed"):
        remove_folder(tmp_path / "adapter")


def test_a_folder_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "adapter"
    put_folder(target, FILES)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(reverie.InstallError, match="No space left"):
        put_folder(target, {"new.py": b""})
    assert contents(target) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]
