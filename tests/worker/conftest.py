"""A worker in this process, and pictures as clients send them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.worker.client import Connection, Dreamed, follow, request_part, upload

from reverie.worker.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.worker.client import Message

Array = np.ndarray[Any, Any]

QUICK: dict[str, Any] = {"objective": "outlines", "octaves": 2, "steps": 2, "precision": "float32"}
"""Changes a picture, looks no farther than 27 px, and takes a moment."""
LONG: dict[str, Any] = {**QUICK, "steps": 1000}
"""Does not end by itself while a test waits."""


def rgba(height: int, width: int) -> Array:
    """Waves with alpha, (H, W, 4) float32, colours in 0.1..0.9."""
    row, column = np.mgrid[0:height, 0:width]
    planes = [np.sin(row / (4 + k)) * np.cos(column / (5 + k)) * 0.4 + 0.5 for k in range(3)]
    planes.append((row + column) / (height + width))
    return np.stack(planes, axis=2).astype("<f4")


@dataclass(frozen=True)
class Worker:
    """A worker that listens, and what clients do with it."""

    folder: Path
    server: Server
    thread: threading.Thread

    def connect(self) -> Connection:
        return Connection(self.folder)

    def ask(self, **request: Any) -> Message:
        with self.connect() as link:
            return link.ask(**request)

    def begin(
        self,
        link: Connection,
        image: Array,
        mask: Array | None = None,
        places: Sequence[Array] = (),
        **request: Any,
    ) -> None:
        """Ask for a dream, and send all that the worker wants."""
        height, width = image.shape[:2]
        request = {"recipe": QUICK, **request, "width": width, "height": height}
        if mask is not None:
            request["mask"] = True
        part, rows, _ = request_part(link, **request)
        masks = None if mask is None else reader(mask)
        upload(link, part, rows, reader(image), masks, [reader(place) for place in places])

    def dream(
        self,
        image: Array,
        mask: Array | None = None,
        places: Sequence[Array] = (),
        *,
        on_report: Callable[[Message], None] = lambda _message: None,
        **request: Any,
    ) -> tuple[Array, Dreamed]:
        """Do a whole job; give the result as (h, w, 4) float32, and all that was said."""
        with self.connect() as link:
            self.begin(link, image, mask, places, **request)
            dreamed = follow(link, on_report)
        _, _, width, height = dreamed.header["result"]
        return np.frombuffer(dreamed.pixels, "<f4").reshape(height, width, 4), dreamed


def reader(image: Array) -> Callable[[int, int, int, int], bytes]:
    return lambda x, y, width, height: image[y : y + height, x : x + width].tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where no worker is yet."""
    return tmp_path / "worker"


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Worker]]:
    """Starts workers with options of their own, and ends them."""
    running: list[Worker] = []

    def start(**options: Any) -> Worker:
        server = Server(folder, device="cpu", **options)
        assert server.claim()
        thread = threading.Thread(target=server.run)
        thread.start()
        worker = Worker(folder, server, thread)
        running.append(worker)
        while not (folder / "worker.json").exists():
            thread.join(0.002)
        return worker

    yield start
    for worker in running:
        worker.server.end()
        worker.thread.join(10)
        assert not worker.thread.is_alive()


@pytest.fixture
def worker(start: Callable[..., Worker]) -> Worker:
    return start()
