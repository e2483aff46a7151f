"""A client of the worker, written from docs/worker.md alone, with the standard library."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from typing_extensions import Self

Message = dict[str, Any]


class RefusedError(Exception):
    """The worker answered with an error."""

    def __init__(self, message: Message) -> None:
        super().__init__(message["error"])
        self.kind = message["kind"]


class GoneError(Exception):
    """The worker closed the connection."""


class Connection:
    def __init__(self, folder: Path, *, timeout: float = 60.0) -> None:
        card = json.loads((folder / "worker.json").read_text("utf-8"))
        self.token = card.get("token")
        address = card["address"]
        if isinstance(address, str):
            self.link = socket.socket(socket.AF_UNIX)
        else:
            self.link, address = socket.socket(socket.AF_INET), tuple(address)
        self.link.settimeout(timeout)
        try:
            self.link.connect(address)
        except OSError:
            self.link.close()
            raise
        self.unread = b""
        self.greeting, _ = self.receive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.link.close()

    def send(self, message: Message, payload: bytes = b"") -> None:
        if payload:
            message = {**message, "bytes": len(payload)}
        self.link.sendall(json.dumps(message).encode() + b"\n" + payload)

    def ask(self, **request: Any) -> Message:
        """Send a request, and give the first answer."""
        if self.token is not None:
            request["token"] = self.token
        self.send(request)
        return self.receive()[0]

    def receive(self) -> tuple[Message, bytes]:
        while b"\n" not in self.unread:
            self.unread += self._read()
        line, _, self.unread = self.unread.partition(b"\n")
        message = json.loads(line)
        while len(self.unread) < (size := message.get("bytes", 0)):
            self.unread += self._read()
        payload, self.unread = self.unread[:size], self.unread[size:]
        if "error" in message:
            raise RefusedError(message)
        return message, payload

    def _read(self) -> bytes:
        data = self.link.recv(1 << 20)
        if not data:
            raise GoneError
        return data


@dataclass
class Dreamed:
    """What came back, and what was said before."""

    header: Message
    pixels: bytes
    reports: list[Message] = field(default_factory=list)
    frames: list[tuple[int, int, bytes]] = field(default_factory=list)


def request_part(link: Connection, **request: Any) -> tuple[list[int], int, list[Message]]:
    """Ask for a dream, and give what is to be sent, in how many rows, and what was said before."""
    before = []
    message = link.ask(do="dream", **request)
    while "send" not in message:
        before.append(message)
        message, _ = link.receive()
    return message["send"], message["rows"], before


def upload(
    link: Connection,
    part: list[int],
    rows: int,
    pixels: Callable[[int, int, int, int], bytes],
    mask: Callable[[int, int, int, int], bytes] | None = None,
    regions: Sequence[Callable[[int, int, int, int], bytes]] = (),
) -> None:
    """Send a part; `pixels` and masks give the bytes of a rectangle x, y, width, height."""
    x, y, width, height = part
    planes = [("rows", pixels), *([("mask", mask)] if mask else [])]
    for key, read in [*planes, *(("region", region) for region in regions)]:
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            link.send({key: [top, bottom]}, read(x, y + top, width, bottom - top))


def follow(
    link: Connection, on_report: Callable[[Message], None] = lambda _message: None
) -> Dreamed:
    """Take reports and then the result."""
    reports, frames = [], []
    while True:
        message, payload = link.receive()
        if "result" in message:
            break
        reports.append(message)
        if "frame" in message:
            frames.append((*message["frame"], payload))
        on_report(message)
    header, strips, below = message, [], 0
    while "end" not in (strip := link.receive())[0]:
        first, last = strip[0]["rows"]
        assert first == below
        assert last - first <= header["rows"]
        assert len(strip[1]) == (last - first) * header["result"][2] * 16
        below = last
        strips.append(strip[1])
    assert below == header["result"][3]
    return Dreamed(header, b"".join(strips), reports, frames)


def connect(folder: Path, patience: float = 30.0) -> Connection:
    """Connect, waiting for a worker that starts."""
    until = time.monotonic() + patience
    while True:
        try:
            return Connection(folder)
        except (OSError, GoneError):
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
