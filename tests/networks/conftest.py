"""A file server on this machine that can misbehave as real ones do."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from reverie.networks import download

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Shop:
    """Serves one file under every path.

    `faults` are used up, one a request: a number is answered as a status, ("drop", n) sends n bytes
    and hangs up, ("send", data) sends something else, ("redirect", url) points there.
    """

    content: bytes
    address: str = ""
    faults: list[int | tuple[str, int | bytes | str]] = field(default_factory=list)
    resumes: bool = True
    tells_length: bool = True
    claims: int | None = None
    delay: float = 0.0
    requests: list[str] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def url(self) -> str:
        return f"{self.address}/network-{self.sha256[:8]}.pth"


class _Handler(BaseHTTPRequestHandler):
    shop: Shop

    def do_GET(self) -> None:
        shop = self.shop
        shop.requests.append(self.path)
        shop.ranges.append(self.headers.get("Range"))
        fault = shop.faults.pop(0) if shop.faults else None
        if isinstance(fault, int):
            self.send_error(fault)
            return
        kind, value = fault or ("", 0)
        if kind == "redirect":
            self.send_response(302)
            self.send_header("Location", str(value))
            self.end_headers()
            return
        self._send(
            value if isinstance(value, bytes) else shop.content,
            value if kind == "drop" and isinstance(value, int) else None,
        )

    def _send(self, content: bytes, drop: int | None) -> None:
        shop = self.shop
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(wanted[1]) if wanted and shop.resumes else 0
        if wanted and shop.resumes and start >= len(content):
            self.send_error(416)
            return
        body = content[start:]
        if wanted and shop.resumes:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if shop.tells_length:
            length = shop.claims if shop.claims is not None else len(body)
            self.send_header("Content-Length", str(length))
        self.end_headers()
        time.sleep(shop.delay)
        self.wfile.write(body[:drop])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A server with 300 KB of a file; nothing is waited for between tries."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "REVERIE_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "_PAUSE", 0.0)
    shop = Shop(bytes(range(256)) * 1200)
    handler = type("Handler", (_Handler,), {"shop": shop})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        shop.address = f"http://127.0.0.1:{server.server_port}"
        yield shop
        server.shutdown()
        thread.join()
