"""Messages on a socket: a JSON object on a line, perhaps with bytes behind; see docs/worker.md."""

from __future__ import annotations

import json
import select
import time
from typing import TYPE_CHECKING, Any

from reverie.errors import WorkerError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

PROTOCOL = 1
LONGEST_REQUEST = 65536
"""Bytes of a client's line, its end included."""
LONGEST_ANSWER = 1048576
PATIENCE = 60.0
"""Seconds to wait for a client that is expected to send, or to take what is sent."""
_CHUNK = 65536
_FAREWELL = 5.0
"""Seconds in which a client may still read the last message before the connection is gone."""


class ProtocolError(WorkerError):
    """A client does not keep to the protocol; the sentence is for its author."""


class HungUp(Exception):  # noqa: N818 - nothing failed: the client wants no more
    """The other side has closed the connection, or has kept silent for too long."""


class Channel:
    """One connection.

    Args:
        link: connected; it is closed by `close`.
        longest: bytes of a line that the other side may send.
        patience: seconds to wait for the other side.
    """

    def __init__(
        self, link: socket.socket, *, longest: int = LONGEST_REQUEST, patience: float = PATIENCE
    ) -> None:
        link.settimeout(patience)
        self._link = link
        self._longest = longest
        self._unread = bytearray()

    def send(self, message: dict[str, Any], payload: memoryview | bytes = b"") -> None:
        """Send a message, with "bytes" if there is a payload.

        Raises:
            HungUp: the other side does not take it.
        """
        if payload:
            message = {**message, "bytes": len(payload)}
        line = json.dumps(message).encode() + b"\n"
        try:
            self._link.sendall(line)
            if payload:
                self._link.sendall(payload)
        except OSError as error:
            raise HungUp(f"it does not take what is sent ({error})") from None

    def receive(self) -> dict[str, Any]:
        """Wait for a message.

        Raises:
            HungUp: none came.
            ProtocolError: what came is not a message.
        """
        while (message := self._next()) is None:
            self._read()
        return message

    def receive_into(self, target: memoryview) -> None:
        """Fill memory with the bytes that follow a message."""
        have = min(len(self._unread), len(target))
        target[:have] = self._unread[:have]
        del self._unread[:have]
        while have < len(target):
            try:
                got = self._link.recv_into(target[have:])
            except OSError as error:
                raise HungUp(str(error)) from None
            if not got:
                raise HungUp("it closed the connection")
            have += got

    def arrived(self) -> Iterator[dict[str, Any]]:
        """Give the messages that are there already, without waiting.

        Raises:
            HungUp: the other side has closed the connection.
            ProtocolError: what came is not a message.
        """
        while self._is_readable():
            self._read()
            while (message := self._next()) is not None:
                yield message

    def close(self) -> None:
        """Let the other side read what was sent last, also if it is still sending; then close."""
        until = time.monotonic() + _FAREWELL
        try:
            self._link.shutdown(1)  # of writing; a close with bytes unread would cost it the answer
            while (left := until - time.monotonic()) > 0:
                self._link.settimeout(left)
                if not self._link.recv(_CHUNK):
                    break
        except OSError:
            pass
        self._link.close()

    def _is_readable(self) -> bool:
        return bool(select.select([self._link], [], [], 0)[0])

    def _read(self) -> None:
        try:
            data = self._link.recv(_CHUNK)
        except OSError as error:  # a time-out is one
            raise HungUp(str(error)) from None
        if not data:
            raise HungUp("it closed the connection")
        self._unread += data

    def _next(self) -> dict[str, Any] | None:
        """Take a message from what was read, if a whole one is there."""
        end = self._unread.find(b"\n", 0, self._longest)
        if end < 0:
            if len(self._unread) >= self._longest:
                raise ProtocolError(f"a line is longer than {self._longest} bytes.")
            return None
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        return _parse(line)


def _parse(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ProtocolError(f"a line is not JSON in UTF-8: {line[:60]!r}") from None
    if not isinstance(message, dict):
        raise ProtocolError(f"a line is not a JSON object: {line[:60]!r}")
    return message


def bytes_of(message: dict[str, Any], expected: int) -> None:
    """See that a message announces as many bytes as belong to it.

    Raises:
        ProtocolError: it announces another number.
    """
    announced = message.get("bytes", 0)
    if announced != expected or isinstance(announced, bool):
        raise ProtocolError(f"bytes: {announced!r:.40} were announced, {expected} are due.")
