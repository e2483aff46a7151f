"""The plug-in's way to the worker, without GIMP: found, started, retired, obeyed and left."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import reverie
import worker_client
from reverie.worker.knocking import ask
from worker_client import (
    Cancelled,
    Connection,
    WorkerError,
    _version,
    clean_environment,
    connect,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Script = Callable[[socket.socket, Any], None]


@pytest.fixture(scope="module", autouse=True)
def _no_process_is_forgotten() -> Iterator[None]:
    yield
    for process in worker_client._STARTED:
        process.wait(20)


def never() -> None:
    """The `idle` of somebody who never cancels."""


def line(**message: object) -> bytes:
    return json.dumps(message).encode() + b"\n"


HELLO = line(reverie=reverie.__version__, protocol=1, pid=1)


def facts(folder: Path, python: str = "/nowhere/python") -> dict[str, str]:
    return {"worker": str(folder), "python": python, "reverie": reverie.__version__}


@contextmanager
def worker(folder: Path, *scripts: bytes | Script) -> Iterator[list[bytes]]:
    """A worker that says these things to its visitors, one after the other; gives what it heard."""
    heard: list[bytes] = []
    door = socket.socket(socket.AF_UNIX)
    address = f"{folder}/s"
    door.bind(address)
    door.listen()
    (folder / "worker.json").write_text(json.dumps({"address": address}), "utf-8")

    def serve() -> None:
        for script in scripts:
            visitor, _ = door.accept()
            with visitor:
                if not isinstance(script, bytes):
                    script(visitor, heard)
                    continue
                visitor.sendall(script)
                visitor.settimeout(5)
                heard.append(visitor.recv(1 << 16))

    thread = threading.Thread(target=serve)
    thread.start()
    yield heard
    thread.join(5)
    door.close()
    assert not thread.is_alive()


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("w")


def test_a_message_and_its_bytes_arrive_whole_however_they_are_cut(folder: Path) -> None:
    pixels = os.urandom(3_000_000)

    def script(visitor: socket.socket, _heard: list[bytes]) -> None:
        data = HELLO + line(rows=[0, 1], bytes=len(pixels)) + pixels + line(end=True)
        for start in range(0, len(data), 99_991):
            visitor.sendall(data[start : start + 99_991])

    with worker(folder, script), connect(facts(folder), never) as link:
        assert link.receive() == ({"rows": [0, 1], "bytes": len(pixels)}, pixels)
        assert link.receive() == ({"end": True}, b"")


def test_bytes_are_announced_and_sent_whole(folder: Path) -> None:
    pixels = os.urandom(3_000_000)

    def script(visitor: socket.socket, heard: list[bytes]) -> None:
        visitor.sendall(HELLO)
        while data := visitor.recv(1 << 20):
            heard.append(data)

    with worker(folder, script) as heard, connect(facts(folder), never) as link:
        link.send({"rows": [0, 1]}, pixels)
        link.close()
    head, _, body = b"".join(heard).partition(b"\n")
    assert json.loads(head) == {"rows": [0, 1], "bytes": len(pixels)}
    assert body == pixels


def test_the_worker_s_sentence_is_the_error(folder: Path) -> None:
    said = HELLO + line(error="octaves: 99 is outside 1..12.", kind="RecipeError")
    with worker(folder, said), connect(facts(folder), never) as link:
        with pytest.raises(WorkerError, match=r"octaves: 99 is outside 1\.\.12\."):
            link.receive()
        link.send({})


def test_a_refusal_in_the_middle_of_sending_is_told_with_its_reason(folder: Path) -> None:
    def script(visitor: socket.socket, _heard: list[bytes]) -> None:
        visitor.sendall(HELLO)
        visitor.recv(1000)
        visitor.sendall(line(waiting=1) + line(error="too much", kind="ProtocolError"))

    def send(link: Connection) -> None:
        while True:
            link.send({"rows": [0, 1]}, bytes(1 << 20))

    with (
        worker(folder, script),
        connect(facts(folder), never) as link,
        pytest.raises(WorkerError, match="too much"),
    ):
        send(link)


def test_a_worker_that_ends_in_the_middle_is_a_sentence(folder: Path) -> None:
    def script(visitor: socket.socket, _heard: list[bytes]) -> None:
        visitor.sendall(HELLO + b'{"step": 1')

    with (
        worker(folder, script),
        connect(facts(folder), never) as link,
        pytest.raises(WorkerError, match=r"ended in the middle.*reverie doctor"),
    ):
        link.receive()


def test_cancelling_is_heard_soon_while_nothing_comes(folder: Path) -> None:
    begun: list[float] = []

    def idle() -> None:
        if begun and time.monotonic() - begun[0] > 0.1:
            raise Cancelled

    def script(visitor: socket.socket, heard: list[bytes]) -> None:
        visitor.sendall(HELLO)
        heard.append(visitor.recv(10))  # ends when the client hangs up

    with worker(folder, script) as heard:
        with connect(facts(folder), idle) as link:
            begun.append(time.monotonic())
            with pytest.raises(Cancelled):
                link.receive()
        assert time.monotonic() - begun[0] < 2
    assert heard == [b""]


def test_another_protocol_is_refused_with_what_to_do(folder: Path) -> None:
    said = line(reverie=reverie.__version__, protocol=2, pid=1)
    with worker(folder, said), pytest.raises(WorkerError, match="reverie install gimp"):
        connect(facts(folder), never)


def test_an_older_worker_is_retired(folder: Path) -> None:
    old = line(reverie="0.0.9", protocol=1, pid=1) + line(retiring=True)
    with (
        worker(folder, old, HELLO) as heard,
        connect({**facts(folder, sys.executable), "python": "/bin/false"}, never),
    ):
        pass
    assert json.loads(heard[0]) == {"do": "retire"}


def test_a_token_goes_with_the_request_alone(folder: Path) -> None:
    with worker(folder, HELLO) as heard:
        card = json.loads((folder / "worker.json").read_text("utf-8"))
        (folder / "worker.json").write_text(json.dumps({**card, "token": "secret"}), "utf-8")
        with connect(facts(folder), never) as link:
            link.ask({"do": "status"})
            time.sleep(0.1)
    assert json.loads(heard[0]) == {"do": "status", "token": "secret"}


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (None, r"/nowhere/python, does not start \(No such file.*reverie install gimp"),
        (
            "echo 'No module named reverie' >&2; exit 1",
            r"\(No module named reverie\).*reverie doctor",
        ),
    ],
)
def test_a_python_that_cannot_start_a_worker_is_a_sentence(
    folder: Path, program: str | None, words: str
) -> None:
    python = "/nowhere/python"
    if program is not None:
        python = str(folder / "python")
        (folder / "python").write_text(f"#!/bin/sh\n{program}\n", "utf-8")
        (folder / "python").chmod(0o755)
    with pytest.raises(WorkerError, match=words):
        connect(facts(folder, python), never)


def test_a_worker_is_started_dreams_and_stays_for_the_next(folder: Path) -> None:
    pixels = struct.pack("<4f", 0.5, 0.4, 0.3, 0.25) * (32 * 32)
    try:
        with connect(facts(folder, sys.executable), never) as link:
            recipe = {"octaves": 1, "steps": 1}
            link.ask({"do": "dream", "recipe": recipe, "width": 32, "height": 32})
            while "send" not in link.receive()[0]:
                pass
            link.send({"rows": [0, 32]}, pixels)
            while "result" not in link.receive()[0]:
                pass
            _, dreamed = link.receive()
            assert link.receive()[0] == {"end": True}
        assert len(dreamed) == len(pixels)
        assert dreamed != pixels
        assert struct.unpack_from("<4f", dreamed)[3] == 0.25
        with connect(facts(folder, "/bin/false"), never) as again:
            assert again.greeting["pid"] == link.greeting["pid"]
    finally:
        ask(folder, {"do": "retire"})


def test_gimp_s_own_variables_do_not_mislead_the_other_python() -> None:
    given = {
        "HOME": "/home/me",
        "LANG": "de_DE.UTF-8",
        "PATH": "/usr/bin",
        "PYTHONHOME": "/gimp",
        "LD_LIBRARY_PATH": "/gimp/lib",
        "GI_TYPELIB_PATH": "/gimp/gi",
        "GIMP3_DIRECTORY": "/profile",
        "REVERIE_WEIGHTS": "/weights",
    }
    assert clean_environment(given).keys() == {"HOME", "LANG", "PATH", "REVERIE_WEIGHTS"}


def test_versions_are_compared_as_numbers() -> None:
    assert _version("0.9.12") < _version("0.10.0") < _version("1.0")
    assert _version("0.10.2rc1")[:2] == (0, 10)
