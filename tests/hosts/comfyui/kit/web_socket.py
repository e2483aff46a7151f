"""A web socket's client half (RFC 6455), as much as ComfyUI and Chromium need of it."""

from __future__ import annotations

import base64
import os
import socket
import struct
from urllib.parse import urlsplit

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
LAST, MASKED = 0x80, 0x80
SHORT, MIDDLE = 126, 127
"""Payload lengths that say: the length follows, in 2 or in 8 bytes."""


class WebSocket:
    """One connection.

    Args:
        address: "ws://host:port/path".
        patience: seconds until a silent server is an error.
    """

    def __init__(self, address: str, patience: float = 60) -> None:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port or 80
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        self._socket = socket.create_connection((host, port), timeout=patience)
        self._file = self._socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        status = self._file.readline()
        if b" 101 " not in status:
            raise ConnectionError(f"{address} answered {status!r}")
        while self._file.readline().strip():
            pass  # headers

    def patience(self, seconds: float) -> None:
        """Wait so long for a message from now on."""
        self._socket.settimeout(seconds)

    def send(self, text: str) -> None:
        """Send a text."""
        self._send(TEXT, text.encode())

    def receive(self) -> str | bytes:
        """Wait for the next message.

        Raises:
            TimeoutError: there was none.
            ConnectionError: the other side has closed.
        """
        whole, kind = b"", 0
        while True:
            first, second = self._exactly(2)
            length = second & 0x7F
            if length == SHORT:
                (length,) = struct.unpack(">H", self._exactly(2))
            elif length == MIDDLE:
                (length,) = struct.unpack(">Q", self._exactly(8))
            payload = self._exactly(length)
            code = first & 0x0F
            if code == CLOSE:
                raise ConnectionError("the other side has closed the web socket")
            if code == PING:
                self._send(PONG, payload)
            if code in {PING, PONG}:
                continue
            kind, whole = code or kind, whole + payload
            if first & LAST:
                return whole if kind == BINARY else whole.decode()

    def close(self) -> None:
        """End it."""
        self._file.close()
        self._socket.close()

    def _exactly(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) < count:
            raise ConnectionError("the web socket ended")
        return data

    def _send(self, code: int, payload: bytes) -> None:
        length = len(payload)
        if length < SHORT:
            header = struct.pack(">BB", LAST | code, MASKED | length)
        elif length < 2**16:
            header = struct.pack(">BBH", LAST | code, MASKED | SHORT, length)
        else:
            header = struct.pack(">BBQ", LAST | code, MASKED | MIDDLE, length)
        # The mask guards proxies on the way; there are none on loopback, so zeros will do.
        self._socket.sendall(header + bytes(4) + payload)
