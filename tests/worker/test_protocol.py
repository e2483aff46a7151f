"""Clients that do not keep to the protocol, hang up or dawdle: refused, and the worker lives on."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.worker.client import Connection, GoneError, RefusedError, follow, request_part, upload
from tests.worker.conftest import LONG, QUICK, Worker, reader, rgba

from reverie.worker.answers import memory

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL: dict[str, Any] = {"do": "dream", "recipe": QUICK, "width": 64, "height": 64}


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def is_alone(worker: Worker) -> bool:
    status = worker.ask(do="status")
    return (status["jobs"], status["waiting"]) == (0, 0)


def test_the_greeting_says_who_is_there(worker: Worker) -> None:
    card = json.loads((worker.folder / "worker.json").read_text("utf-8"))
    with worker.connect() as link:
        assert link.greeting == {key: card[key] for key in ("reverie", "protocol", "pid")}
    assert card["protocol"] == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe{}", "not JSON in UTF-8"),
        (b"[1]", "not a JSON object"),
        (b"[" * 20000, "not JSON"),
        (b'{"do": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"{}", "do: None is not one of"),
        (b'{"do": ["dream"]}', "is not one of"),
        (b"x" * 65535, "not JSON"),
        (b"x" * 65536, "longer than 65536"),
        (b"x" * 200000, "longer than 65536"),
    ],
    ids=["half", "bytes", "list", "deep", "number", "empty", "strange", "full", "long", "longest"],
)
def test_a_line_that_is_no_request_is_refused(worker: Worker, line: bytes, words: str) -> None:
    with worker.connect() as link:
        link.link.sendall(line + b"\n")
        with pytest.raises(RefusedError, match=words) as caught:
            link.receive()
        assert caught.value.kind == "ProtocolError"
        with pytest.raises(GoneError):
            link.receive()


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"width": 0}, "ProtocolError", r"width: 0 is not a whole number in 1\.\.262144"),
        ({"width": True}, "ProtocolError", "width: True"),
        ({"height": 262145}, "ProtocolError", "height: 262145"),
        ({"height": 1.5}, "ProtocolError", "height: 1.5"),
        ({"frames": 1025}, "ProtocolError", r"frames: 1025 .* 0\.\.1024"),
        ({"mask": 1}, "ProtocolError", "mask: 1 is neither"),
        ({"bytes": 5}, "ProtocolError", "bytes: none belong"),
        ({"select": [0, 0, 65, 64]}, "ProtocolError", "inside a picture of 64 x 64"),
        ({"select": [-1, 0, 4, 4]}, "ProtocolError", "select"),
        ({"select": [0, 0, 0, 4]}, "ProtocolError", "select"),
        ({"select": [0, 0, 4]}, "ProtocolError", "select"),
        ({"select": "all"}, "ProtocolError", "select"),
        ({"width": 262144, "height": 262144}, "ImageError", "300 megapixels"),
        ({"recipe": {"octaves": 99}}, "RecipeError", r"^octaves: 99 is outside 1\.\.12\.$"),
        ({"recipe": {"octave": 9}}, "RecipeError", "did you mean 'octaves'"),
        ({"recipe": {"version": 9}}, "RecipeError", "upgrade reverie"),
        ({"recipe": []}, "RecipeError", "JSON object"),
        ({"recipe": {"network": "embeded"}}, "ReverieError", "did you mean 'embedded'"),
        ({"recipe": {"objective": "eye"}}, "NetworkError", "did you mean 'eyes'"),
        ({"recipe": {"objective": "eyes +"}}, "ObjectiveError", "objective"),
        ({"preset": "classik"}, "ReverieError", "did you mean 'classic'"),
        ({"preset": 3}, "ProtocolError", "preset: 3 is not a name"),
        ({"recipe": {"network": "googlenet"}}, "WeightsError", "REVERIE_OFFLINE is set"),
    ],
    ids=str,
)
def test_a_request_that_cannot_be_met_is_answered_before_anything_is_sent(
    worker: Worker, change: dict[str, Any], kind: str, words: str
) -> None:
    with pytest.raises(RefusedError, match=words) as caught:
        worker.ask(**{**SMALL, **change})
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("message", "size", "words"),
    [
        ({"rows": [0, 64], "bytes": 100}, 100, "bytes: 100 were announced, 65536 are due"),
        ({"rows": [0, 64], "bytes": 65537}, 65537, "65536 are due"),
        ({"rows": [0, 64]}, 0, "bytes: 0"),
        ({"rows": [0, 64], "bytes": True}, 1, "bytes: True"),
        ({"rows": [0, 64], "bytes": "65536"}, 65536, "bytes"),
        ({"rows": [1, 64], "bytes": 64512}, 64512, "rows from 0 on"),
        ({"rows": [0, 65], "bytes": 66560}, 66560, "at most to 64"),
        ({"rows": [0, 0]}, 0, "rows from 0 on"),
        ({"rows": [0.0, 64.0], "bytes": 65536}, 65536, "rows from 0 on"),
        ({"mask": [0, 64], "bytes": 4096}, 4096, "rows from 0 on"),
        ({"stop": True}, 0, "rows from 0 on"),
        ({"rows": None, "bytes": 1 << 62}, 8, "rows from 0 on"),
    ],
    ids=str,
)
def test_a_strip_that_is_not_due_is_refused(
    worker: Worker, message: dict[str, Any], size: int, words: str
) -> None:
    with worker.connect() as link:
        assert "send" in link.ask(**SMALL)
        link.link.sendall(json.dumps(message).encode() + b"\n" + bytes(size))
        with pytest.raises(RefusedError, match=words) as caught:
            link.receive()
        assert caught.value.kind == "ProtocolError"
    assert is_alone(worker)


def test_rows_of_a_strip_out_of_order_are_refused(worker: Worker) -> None:
    image = rgba(64, 64)
    with worker.connect() as link:
        link.ask(**SMALL)
        link.send({"rows": [0, 10]}, image[:10].tobytes())
        link.send({"rows": [20, 30]}, image[20:30].tobytes())
        with pytest.raises(RefusedError, match="rows from 10 on"):
            link.receive()


def test_strips_may_be_thinner_than_allowed(worker: Worker) -> None:
    image = rgba(64, 64)
    whole, _ = worker.dream(image)
    with worker.connect() as link:
        part, _, _ = request_part(link, recipe=QUICK, width=64, height=64)
        upload(link, part, 7, reader(image))
        assert follow(link).pixels == whole.tobytes()


def test_the_reason_reaches_a_client_that_is_still_sending(worker: Worker) -> None:
    image = np.full((2000, 1000, 4), np.nan, "<f4")  # 32 MB, refused at the first strip
    with worker.connect() as link:
        part, rows, _ = request_part(link, recipe=QUICK, width=1000, height=2000)
        upload(link, part, rows, reader(image))
        with pytest.raises(RefusedError, match="not numbers"):
            link.receive()


def test_an_upload_that_ends_early_is_forgotten(worker: Worker) -> None:
    with worker.connect() as link:
        link.ask(**SMALL)
        link.link.sendall(b'{"rows": [0, 64], "bytes": 65536}\n' + bytes(1000))
    until(lambda: is_alone(worker))
    worker.dream(rgba(64, 64))


def test_refused_uploads_leave_no_memory_behind(worker: Worker) -> None:
    image = rgba(1024, 1024)  # 16 MB each
    image[1000] = np.nan

    def refused() -> None:
        with pytest.raises(RefusedError, match="not numbers"):
            worker.dream(image)

    refused()
    before = memory()
    assert before is not None
    for _ in range(8):
        refused()
    after = memory()
    assert after is not None
    assert after - before < 40_000_000


def test_hanging_up_ends_the_dream_within_a_step(worker: Worker) -> None:
    with worker.connect() as link:
        worker.begin(link, rgba(64, 64), recipe=LONG)
        while "step" not in link.receive()[0]:
            pass
        assert worker.ask(do="status")["jobs"] == 1
    start = time.monotonic()
    until(lambda: is_alone(worker), 2)
    assert time.monotonic() - start < 1
    worker.dream(rgba(64, 64))


def test_closing_only_the_way_there_is_hanging_up_too(worker: Worker) -> None:
    with worker.connect() as link:
        worker.begin(link, rgba(64, 64), recipe=LONG)
        link.link.shutdown(socket.SHUT_WR)
        until(lambda: is_alone(worker))


def test_jobs_take_turns_and_are_told_who_is_before_them(worker: Worker) -> None:
    image = rgba(64, 64)
    with worker.connect() as first, worker.connect() as second, worker.connect() as third:
        worker.begin(first, image, recipe=LONG)
        while "step" not in first.receive()[0]:
            pass
        worker.begin(second, image)
        assert second.receive()[0] == {"waiting": 1}
        worker.begin(third, image)
        assert third.receive()[0] == {"waiting": 2}
        status = worker.ask(do="status")
        assert (status["jobs"], status["waiting"]) == (3, 2)
        second.link.close()
        assert third.receive()[0] == {"waiting": 1}
        first.send({"stop": True})
        assert 0 < follow(first).header["done"] < 1
        assert follow(third).header["done"] == 1
    until(lambda: is_alone(worker))


def test_a_client_that_does_not_read_slows_no_other(worker: Worker) -> None:
    with worker.connect() as lazy:
        recipe = {**QUICK, "octaves": 1, "steps": 40}
        worker.begin(lazy, rgba(400, 400), recipe=recipe, frames=1024)  # 20 MB of frames
        worker.dream(rgba(64, 64))
        assert follow(lazy).header["done"] == 1


def test_a_silent_client_is_dropped(start: Callable[..., Worker]) -> None:
    worker = start(patience=0.2)
    with worker.connect() as link, pytest.raises(GoneError):
        link.receive()
    with worker.connect() as link:
        link.ask(**SMALL)
        link.link.sendall(b'{"rows": [0, 64], "bytes": 65536}\n' + bytes(1000))
        with pytest.raises(GoneError):
            link.receive()


def test_a_talkative_client_is_refused_while_it_dreams(worker: Worker) -> None:
    with worker.connect() as link:
        worker.begin(link, rgba(64, 64), recipe=LONG)
        link.send({"do": "status"})
        with pytest.raises(RefusedError, match="only a stop is due"):
            follow(link)
    until(lambda: is_alone(worker))


def test_the_33rd_connection_is_turned_away(worker: Worker) -> None:
    links = [worker.connect() for _ in range(32)]
    with worker.connect() as link, pytest.raises(RefusedError, match="32 programs") as caught:
        link.receive()
    assert caught.value.kind == "WorkerError"
    for each in links:
        each.link.close()
    until(lambda: _answers(worker))


def _answers(worker: Worker) -> bool:
    try:
        return "jobs" in worker.ask(do="status")
    except (RefusedError, GoneError, OSError):
        return False


def test_a_fault_of_the_workers_own_is_logged_and_survived(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("reverie.worker.answers.layers", lambda _request: 1 // 0)
        with pytest.raises(RefusedError, match="ZeroDivisionError") as caught:
            worker.ask(do="layers", network="embedded")
    assert caught.value.kind == "Crash"
    assert "Traceback" in caplog.text
    assert worker.ask(do="layers", network="embedded")["default"] == "creatures"


@pytest.mark.parametrize(
    "fault", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")], ids=repr
)
def test_a_lack_of_memory_is_said_and_survived(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def full(*_: object, **__: object) -> None:
        raise fault

    with monkeypatch.context() as patched:
        patched.setattr("reverie.worker.job.Upload", full)
        with pytest.raises(RefusedError, match="not enough memory") as caught:
            worker.ask(**SMALL)
    assert caught.value.kind == "WorkerError"
    worker.dream(rgba(64, 64))


def test_uploads_share_the_room(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    from reverie.worker.room import Room

    monkeypatch.setattr(worker.server, "_room", Room(5000))
    with worker.connect() as first, worker.connect() as second:
        assert "send" in first.ask(**SMALL)
        with pytest.raises(RefusedError, match="other large pictures"):
            second.ask(**SMALL)
        first.link.close()
        until(lambda: is_alone(worker))
    worker.dream(rgba(64, 64))


def test_on_a_network_address_a_request_needs_the_token(start: Callable[..., Worker]) -> None:
    worker = start(by_network=True)
    with Connection(worker.folder) as link:
        assert link.link.family == socket.AF_INET
        assert len(link.token or "") == 64
        assert link.ask(do="status")["jobs"] == 0
    for shown in (None, "wrong", "\u00e9", 7):
        with Connection(worker.folder) as link:
            link.token = None
            with pytest.raises(RefusedError, match="token"):
                link.ask(do="status", **({} if shown is None else {"token": shown}))
    result, _ = worker.dream(rgba(64, 64))
    assert result.shape == (64, 64, 4)


def test_nobody_waits_for_two_dreams_that_are_asked_at_once(worker: Worker) -> None:
    image, results = rgba(64, 64), []
    threads = [
        threading.Thread(target=lambda: results.append(worker.dream(image)[0])) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == 6
    assert all(np.array_equal(result, results[0]) for result in results)
