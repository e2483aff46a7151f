"""A real ComfyUI: started on loopback, asked over HTTP, watched over its web socket."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from PIL import Image

from web_socket import WebSocket

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
PREVIEW = 1
"""The binary message that is a preview; then 4 bytes for its format, then the file."""
FRONT_END = "COMFYUI_FRONT_END"
"""Environment variable: the folder of another page than the one that this ComfyUI comes with."""
STARTED_WITHIN = 120
FREED_WITHIN = 10


@dataclass(frozen=True)
class Preview:
    """A picture that the page would show inside the node."""

    after: float
    """Seconds since the graph was sent."""
    size: tuple[int, int]


@dataclass
class Run:
    """What was seen of one run of a graph."""

    steps: list[tuple[int, int]] = field(default_factory=list)
    """Values of the progress bar, with their maximum."""
    previews: list[Preview] = field(default_factory=list)
    executed: list[str] = field(default_factory=list)
    """Nodes that ran, by their ids."""
    cached: list[str] = field(default_factory=list)
    shown: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What output nodes gave to the page, by their ids."""
    ended: str = ""
    """"success", "error" or "interrupted"."""
    error: str = ""
    seconds: float = 0


@dataclass(frozen=True)
class Refused(Exception):  # noqa: N818 - it is what the server says, not a fault
    """The server did not accept a graph."""

    sentences: str


class ComfyServer:
    """A server with a base folder of its own.

    Args:
        program: ComfyUI's folder.
        python: the interpreter that has what ComfyUI needs.
        base: custom_nodes, input, output and user data go there.
        extra: environment variables.
    """

    def __init__(self, program: Path, python: str, base: Path, **extra: str) -> None:
        self.base = base
        self.log = base / "log.txt"
        (base / "input").mkdir(parents=True, exist_ok=True)
        shutil.copy(program / "input" / "example.png", base / "input")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        words = ["--cpu", "--port", str(self.port), "--base-directory", str(base)]
        words += ["--database-url", f"sqlite:///{base / 'database'}", "--disable-api-nodes"]
        if front_end := os.environ.get(FRONT_END):
            words += ["--front-end-root", front_end]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [python, "main.py", *words],
                cwd=program,
                env={**_clean_environment(), **extra},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait()
        self.nodes: dict[str, Any] = self.get("/object_info")

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> Any:
        """Ask for JSON."""
        with urllib.request.urlopen(self.address + path, timeout=30) as answer:  # noqa: S310 - loopback
            return json.load(answer)

    def post(self, path: str, content: Any) -> Any:
        """Send JSON; gives the answer, if there is any."""
        request = urllib.request.Request(  # noqa: S310 - loopback
            self.address + path, json.dumps(content).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            text = answer.read()
        return json.loads(text) if text else None

    def run(self, graph: dict[str, Any], *, patience: float = 120) -> Run:
        """Run a graph in the API's form, and watch it to its end.

        Raises:
            Refused: the server did not take it.
        """
        return Watch(self, graph).to_the_end(patience)

    def image(self, run: Run, node: str, number: int = 0) -> Image.Image:
        """Read a picture that an output node has saved."""
        with Image.open(self.file(run, node, number)) as picture:
            picture.load()
            return picture

    def pixels(self, run: Run, node: str, number: int = 0) -> Pixels:
        """Give those of a picture that an output node has saved: (H, W, 3 or 4)."""
        return np.asarray(self.image(run, node, number))

    def file(self, run: Run, node: str, number: int = 0) -> Path:
        """Give where an output node has saved a picture."""
        one = run.shown[node]["images"][number]
        return Path(self.base, one["type"], one["subfolder"], one["filename"])

    def is_idle(self) -> bool:
        """Nothing runs or waits."""
        queue = self.get("/queue")
        return not queue["queue_running"] and not queue["queue_pending"]

    def free(self) -> None:
        """Press "free model and node cache", and wait until it is done."""
        self.post("/free", {"unload_models": True, "free_memory": True})
        time.sleep(1.5)  # the worker looks once a second; nothing tells when it has

    def stop(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(FREED_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait(self) -> None:
        until = time.monotonic() + STARTED_WITHIN
        while True:
            try:
                self.get("/system_stats")
            except (urllib.error.URLError, ConnectionError):
                ended = self._process.poll() is not None
                if ended or time.monotonic() > until:
                    said = self.log.read_text("utf-8", "replace")[-3000:]
                    raise AssertionError(f"ComfyUI does not start:\n{said}") from None
                time.sleep(0.1)
            else:
                return


class Watch:
    """A graph that was sent, and what the server says about it."""

    def __init__(self, server: ComfyServer, graph: dict[str, Any]) -> None:
        self.run = Run()
        self._client = f"test-{time.monotonic_ns()}"
        address = server.address.replace("http", "ws")
        self._socket = WebSocket(f"{address}/ws?{urlencode({'clientId': self._client})}")
        self._start = time.monotonic()
        try:
            sent = server.post("/prompt", {"prompt": graph, "client_id": self._client})
        except urllib.error.HTTPError as error:
            self._socket.close()
            raise Refused(_sentences(json.load(error))) from None
        self._id = sent["prompt_id"]

    def to_the_end(self, patience: float = 120) -> Run:
        """Watch until it has ended."""
        while not self.run.ended:
            self.next(patience)
        self.run.seconds = time.monotonic() - self._start
        self._socket.close()
        return self.run

    def next(self, patience: float) -> None:
        """Take the next message into the run."""
        self._socket.patience(patience)
        message = self._socket.receive()
        if isinstance(message, bytes):
            self._preview(message)
            return
        content = json.loads(message)
        data = content["data"]
        if data.get("prompt_id", self._id) == self._id:
            self._told(content["type"], data)

    def _preview(self, message: bytes) -> None:
        (kind,) = struct.unpack(">I", message[:4])
        if kind == PREVIEW:
            with Image.open(BytesIO(message[8:])) as picture:
                size = picture.size
            self.run.previews.append(Preview(time.monotonic() - self._start, size))

    def _told(self, kind: str, data: dict[str, Any]) -> None:
        run = self.run
        if kind == "progress":
            run.steps.append((int(data["value"]), int(data["max"])))
        elif kind == "executing" and data["node"]:
            run.executed.append(data["node"])
        elif kind == "execution_cached":
            run.cached = data["nodes"]
        elif kind == "executed" and data.get("output"):
            run.shown[data["node"]] = data["output"]
        elif kind in {"execution_success", "execution_error", "execution_interrupted"}:
            run.ended = kind.removeprefix("execution_")
            run.error = data.get("exception_message", "").strip()


def _sentences(refusal: dict[str, Any]) -> str:
    said = [refusal["error"]["message"], refusal["error"]["details"]]
    for node in refusal["node_errors"].values():
        said += [f"{error['message']}: {error['details']}" for error in node["errors"]]
    return "\n".join(said)


def _clean_environment() -> dict[str, str]:
    """Give this process's environment without what would lend the server our packages."""
    ours = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    return {key: value for key, value in os.environ.items() if key not in ours}
