"""A file server on this machine that can misbehave as real ones do, Caffe's files, and classes."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from reverie.networks import download
from reverie.networks.loading import load_network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping


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
    def sha1(self) -> str:
        return hashlib.sha1(self.content, usedforsecurity=False).hexdigest()

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


class Caffe:
    """Writes .caffemodel files as Caffe would, or a little differently."""

    @staticmethod
    def varint(integer: int) -> bytes:
        octets = bytearray()
        while integer > 127:
            octets.append(integer & 127 | 128)
            integer >>= 7
        return bytes([*octets, integer])

    @classmethod
    def number(cls, field: int, value: int) -> bytes:
        return cls.varint(field << 3) + cls.varint(value)

    @classmethod
    def content(cls, field: int, value: bytes) -> bytes:
        return cls.varint(field << 3 | 2) + cls.varint(len(value)) + value

    @classmethod
    def blob(cls, values: torch.Tensor) -> bytes:
        """Numbers and a shape."""
        shape = b"".join(map(cls.varint, values.shape))
        data = values.numpy().astype("<f4").tobytes()
        return cls.content(5, data) + cls.content(7, cls.content(1, shape))

    @classmethod
    def old_blob(cls, values: torch.Tensor) -> bytes:
        """Four sides, whatever the shape, before the numbers."""
        sides = [*[1] * (4 - values.ndim), *values.shape]
        numbers = b"".join(cls.number(field, side) for field, side in enumerate(sides, 1))
        return numbers + cls.content(5, values.numpy().astype("<f4").tobytes())

    @classmethod
    def layer(cls, name: str, blobs: Iterable[bytes]) -> bytes:
        """A layer of today's form; its type, inputs and outputs stand before the blobs."""
        text = cls.content(1, name.encode()) + cls.content(2, b"Convolution")
        text += cls.content(3, b"data") + cls.content(4, name.encode())
        return cls.content(100, text + b"".join(cls.content(7, blob) for blob in blobs))

    @classmethod
    def old_layer(cls, name: str, blobs: Iterable[bytes]) -> bytes:
        """A layer of the form before 2015, which BVLC's own file has."""
        text = cls.content(2, b"data") + cls.content(3, name.encode())
        text += cls.content(4, name.encode()) + cls.number(5, 4)
        return cls.content(2, text + b"".join(cls.content(6, blob) for blob in blobs))

    @classmethod
    def net(
        cls, state: Mapping[str, torch.Tensor], *, name: str = "net", old: bool = False
    ) -> bytes:
        """All of a state dict, whose names end in .weight and .bias."""
        layers = dict.fromkeys(key.rpartition(".")[0] for key in state)
        layer, blob = (cls.old_layer, cls.old_blob) if old else (cls.layer, cls.blob)
        return cls.content(1, name.encode()) + b"".join(
            layer(each, [blob(state[f"{each}.{kind}"]) for kind in ("weight", "bias")])
            for each in layers
        )


@pytest.fixture(scope="session")
def caffe() -> type[Caffe]:
    return Caffe


@pytest.fixture(scope="session")
def classes_of() -> Callable[[str, Image.Image, int], list[str]]:
    """What a network sees in the middle of a picture: the words of its five likeliest classes."""

    def classes_of(name: str, picture: Image.Image, side: int = 224) -> list[str]:
        network = load_network(name)
        least = min(picture.size)
        left, top = ((length - least) // 2 for length in picture.size)
        square = picture.crop((left, top, left + least, top + least))
        pixels = np.asarray(square.resize((side, side), Image.Resampling.BICUBIC))
        image = torch.from_numpy(pixels / 255).permute(2, 0, 1)[None].float()
        head = network.head.name
        logits = network.prepare([head], torch.device("cpu"), torch.float32)(image)[head]
        return [network.words[number] for number in logits[0, :, 0, 0].topk(5).indices]

    return classes_of
