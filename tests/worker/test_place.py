"""The worker's folder is closed to others, and there is one worker in it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.worker.client import Connection
from tests.worker.conftest import rgba

from reverie import WorkerError
from reverie.worker import place
from reverie.worker.listening import HAS_UNIX_SOCKETS, peer_uid
from reverie.worker.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.worker.conftest import Worker

only_unix = pytest.mark.skipif(not HAS_UNIX_SOCKETS, reason="needs Unix sockets and modes")
only_root = pytest.mark.skipif(
    not HAS_UNIX_SOCKETS or os.geteuid() != 0, reason="only root can become another user"
)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@only_unix
def test_folder_socket_and_card_are_for_this_user_alone(worker: Worker) -> None:
    assert mode(worker.folder) == 0o700
    assert mode(worker.folder / "worker.sock") == 0o600
    assert mode(worker.folder / "worker.json") == 0o600


@only_unix
@pytest.mark.parametrize("open_to", [0o755, 0o710, 0o707])
def test_a_folder_that_others_may_enter_is_refused(folder: Path, open_to: int) -> None:
    folder.mkdir()
    folder.chmod(open_to)
    with pytest.raises(WorkerError, match=f"others may enter .* chmod 700 {folder}"):
        Server(folder).claim()
    assert list(folder.iterdir()) == []


@only_root
def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    with pytest.raises(WorkerError, match="belongs to another user"):
        Server(folder).claim()


def test_what_is_no_folder_is_refused(folder: Path) -> None:
    folder.write_text("")
    with pytest.raises(WorkerError, match="cannot be made"):
        Server(folder).claim()


@only_unix
def test_the_system_says_who_connects() -> None:
    near, far = socket.socketpair()
    with near, far:
        assert peer_uid(near) == os.geteuid()


VISIT = """
import json, os, socket, sys
os.setuid(65534)
link = socket.socket(socket.AF_UNIX)
link.connect(sys.argv[1])
print(link.recv(100))
"""


@only_root
def test_another_user_who_gets_to_the_socket_is_refused() -> None:
    near = Path(tempfile.mkdtemp())  # pytest's own folders would keep others out
    try:
        near.chmod(0o755)
        server = Server(near / "worker", device="cpu")
        assert server.claim()
        thread = threading.Thread(target=server.run)
        thread.start()
        while not (near / "worker" / "worker.json").exists():
            thread.join(0.002)
        (near / "worker").chmod(0o755)
        (near / "worker" / "worker.sock").chmod(0o666)
        asked = [sys.executable, "-c", VISIT, str(near / "worker" / "worker.sock")]
        said = subprocess.run(asked, capture_output=True, text=True, check=False, cwd="/")
        with Connection(near / "worker") as link:
            assert link.greeting["pid"] == os.getpid()
        server.end()
        thread.join(10)
    finally:
        shutil.rmtree(near)
    assert (said.stdout, said.returncode) == ("b''\n", 0), said.stderr


def test_what_a_killed_worker_left_is_replaced(folder: Path, start: Callable[..., Worker]) -> None:
    folder.mkdir(mode=0o700)
    if HAS_UNIX_SOCKETS:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(folder / "worker.sock"))
    card = {"reverie": "0.1.0", "protocol": 1, "pid": 1, "address": str(folder / "worker.sock")}
    (folder / "worker.json").write_text(json.dumps(card))
    (folder / "worker.lock").write_text("")
    worker = start()
    assert worker.ask(do="status")["jobs"] == 0
    card = json.loads((folder / "worker.json").read_text("utf-8"))
    assert card["pid"] == os.getpid()


@only_unix
def test_a_socket_whose_path_would_be_too_long_lives_elsewhere(
    tmp_path: Path, start: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    near = Path(tempfile.mkdtemp())
    monkeypatch.setattr(tempfile, "tempdir", str(near))
    monkeypatch.setattr(place, "LONGEST_PATH", len(str(tmp_path)))
    worker = start()
    address = Path(json.loads((worker.folder / "worker.json").read_text("utf-8"))["address"])
    assert address.parent.parent == near
    assert mode(address.parent) == 0o700
    worker.dream(rgba(40, 40))
    worker.server.end()
    worker.thread.join(10)
    assert list(near.iterdir()) == []
    near.rmdir()


def test_there_is_never_a_second_worker(worker: Worker) -> None:
    assert not Server(worker.folder).claim()
    assert worker.ask(do="status")["jobs"] == 0


def test_a_worker_that_ends_leaves_only_its_lock(worker: Worker) -> None:
    worker.server.end()
    worker.thread.join(10)
    assert [path.name for path in worker.folder.iterdir()] == ["worker.lock"]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"REVERIE_WORKER_DIR": "/own"}, "/own"),
        ({"XDG_CACHE_HOME": "/cache"}, "/cache/reverie/worker"),
        ({"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/reverie/worker"),
        ({}, "/home/me/.cache/reverie/worker"),
    ],
    ids=str,
)
def test_the_folder_is_where_the_page_says(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("REVERIE_WORKER_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    assert place.worker_folder() == Path(expected)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"reverie": "1"}', '{"reverie": "1", "protocol": 1, "pid": 1, "address": 5}'],
)
def test_a_card_that_says_nothing_is_none(folder: Path, text: str) -> None:
    folder.mkdir(mode=0o700)
    (folder / "worker.json").write_text(text)
    assert place.read_card(folder) is None
