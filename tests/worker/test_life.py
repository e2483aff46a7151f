"""How workers begin and end, as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.worker.client import (
    Connection,
    GoneError,
    RefusedError,
    connect,
    follow,
    request_part,
    upload,
)
from tests.worker.conftest import LONG, QUICK, reader, rgba

from reverie.worker import examine, server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.worker.conftest import Worker


@pytest.fixture
def launch(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `reverie worker` as a host does."""
    processes: list[subprocess.Popen[str]] = []

    def launch(*options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "reverie", "worker", "--at", str(folder), *options]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        processes.append(process)
        return process

    yield launch
    for process in processes:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def log(folder: Path) -> str:
    return (folder / "worker.log").read_text("utf-8")


def test_it_greets_before_pytorch_is_there_and_then_dreams(
    folder: Path, launch: Callable[..., subprocess.Popen[str]]
) -> None:
    process = launch("--device", "cpu")
    image = rgba(48, 48)
    with connect(folder) as link:
        assert link.greeting["pid"] == process.pid
        assert "the engine was loaded" not in log(folder)
        part, rows, _ = request_part(link, recipe=QUICK, width=48, height=48)
        upload(link, part, rows, reader(image))
        assert follow(link).header["done"] == 1
    with Connection(folder) as link:
        status = link.ask(do="status")
    assert status["device"] == "cpu"
    assert status["python"] == sys.executable
    assert status["memory_bytes"] > 100e6
    assert "the engine was loaded" in log(folder)
    process.terminate()
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in said + log(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["worker.lock", "worker.log"]


def test_of_many_that_start_at_once_one_stays(
    folder: Path, launch: Callable[..., subprocess.Popen[str]]
) -> None:
    processes = [launch() for _ in range(4)]
    with connect(folder) as link:
        winner = link.greeting["pid"]
    ended = [process for process in processes if process.pid != winner]
    assert len(ended) == 3
    for process in ended:
        process.communicate(timeout=20)
        assert process.returncode == 0
    with Connection(folder) as link:
        assert link.greeting["pid"] == winner


def test_it_ends_when_nobody_comes(
    folder: Path, launch: Callable[..., subprocess.Popen[str]]
) -> None:
    process = launch("--idle", "0.3")
    connect(folder).link.close()
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert not (folder / "worker.json").exists()


def test_a_killed_worker_is_followed_by_another(
    folder: Path, launch: Callable[..., subprocess.Popen[str]]
) -> None:
    first = launch()
    connect(folder).link.close()
    first.kill()
    first.communicate()
    (fault,) = examine(folder)
    assert "worker.json was left by a worker that did not end properly" in fault
    second = launch()
    until = time.monotonic() + 20
    while True:
        try:
            with Connection(folder) as link:
                assert link.greeting["pid"] == second.pid
            break
        except (OSError, GoneError):
            assert time.monotonic() < until
            time.sleep(0.01)
    assert list(examine(folder)) == []


def test_an_older_release_makes_room_and_finishes_its_job(
    folder: Path,
    start: Callable[..., Worker],
    launch: Callable[..., subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "__version__", "0.0.9")
    old = start()
    with old.connect() as link:
        assert link.greeting["reverie"] == "0.0.9"
        old.begin(link, rgba(48, 48), recipe=LONG)
        while "step" not in link.receive()[0]:
            pass
        assert "is of reverie 0.0.9" in next(iter(examine(folder)))
        new = launch()
        assert _pid_after(folder, os.getpid()) == new.pid
        link.send({"stop": True})
        assert 0 < follow(link).header["done"] < 1
    old.thread.join(10)
    assert not old.thread.is_alive()
    with Connection(folder) as link:  # whose files the old one left alone
        assert link.greeting["pid"] == new.pid


def _pid_after(folder: Path, before: int) -> int:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            with Connection(folder) as link:
                if link.greeting["pid"] != before:
                    return int(link.greeting["pid"])
        except (OSError, GoneError, ValueError):
            pass
        time.sleep(0.01)
    raise AssertionError("no other worker came")


def test_a_worker_that_retires_takes_no_new_jobs(start: Callable[..., Worker]) -> None:
    worker = start()
    waiting = worker.connect()
    assert worker.ask(do="retire") == {"retiring": True}
    assert not (worker.folder / "worker.json").exists()
    successor = start()
    with waiting:
        message: dict[str, Any] = {"do": "dream", "recipe": QUICK, "width": 9, "height": 9}
        waiting.send(message)
        line = waiting.link.recv(1000)
        assert b"takes no new jobs" in line
    worker.thread.join(10)
    assert not worker.thread.is_alive()
    assert successor.ask(do="status")["jobs"] == 0


def test_a_signal_hangs_up_on_who_only_listens(start: Callable[..., Worker]) -> None:
    worker = start()
    with worker.connect() as link:
        begun = time.monotonic()
        worker.server.end()
        with pytest.raises(GoneError):
            link.receive()
        assert time.monotonic() - begun < 3


def test_a_signal_ends_a_dream_after_its_step(
    folder: Path, launch: Callable[..., subprocess.Popen[str]]
) -> None:
    process = launch("--device", "cpu")
    with connect(folder) as link:
        part, rows, _ = request_part(link, recipe=LONG, width=48, height=48)
        upload(link, part, rows, reader(rgba(48, 48)))
        while "step" not in link.receive()[0]:
            pass
        process.send_signal(signal.SIGTERM)
        with pytest.raises(RefusedError, match="the worker was ended while it dreamed"):
            follow(link)
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert not (folder / "worker.json").exists()


def test_a_folder_without_a_worker_has_no_faults(folder: Path) -> None:
    assert list(examine(folder)) == []
    folder.mkdir(mode=0o700)
    assert list(examine(folder)) == []


def test_a_worker_that_lives_has_no_faults(worker: Worker) -> None:
    assert list(examine(worker.folder)) == []


def test_a_worker_that_does_not_answer_is_a_fault(worker: Worker) -> None:
    card = json.loads((worker.folder / "worker.json").read_text("utf-8"))
    (worker.folder / "worker.json").write_text(json.dumps({**card, "address": "/nowhere"}))
    (fault,) = examine(worker.folder)
    assert "does not answer" in fault
    assert str(os.getpid()) in fault


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_a_folder_open_to_others_is_a_fault(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)
    (fault,) = examine(folder)
    assert "chmod 700" in fault
