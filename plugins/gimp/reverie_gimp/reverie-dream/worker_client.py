"""Finds, starts and talks to reverie's worker; the protocol is docs/worker.md of the project.

The standard library only: GIMP's Python has no PyTorch, and need not know reverie.
"""

from __future__ import annotations

import json
import os
import re
import select
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

    Message = Mapping[str, Any]
    Idle = Callable[[], None]

PROTOCOL = 1
PATIENCE = 30.0
"""Seconds that a worker may take to start."""
TICK = 0.05
"""Seconds between two calls of `idle` while nothing arrives."""
_CHUNK = 1 << 20
_STARTED: list[subprocess.Popen[bytes]] = []
"""Workers that this process started: they outlive it, and Python complains of those forgotten."""
_REMEDY = "Run this in a terminal: reverie doctor"
_FOREIGN = (
    "PYTHON",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "DYLD_",
    "GI_TYPELIB_PATH",
    "GTK_",
    "GDK_",
    "GIO_",
    "BABL_PATH",
    "GEGL_",
    "GIMP",
    "VIRTUAL_ENV",
    "__COMPAT_LAYER",
)
"""Beginnings of variables that GIMP sets for itself, and that would mislead another Python."""


class WorkerError(Exception):
    """What the worker, or its absence, has to say to the user, in a sentence."""


class Cancelled(Exception):  # noqa: N818 - a request, not a fault
    """The user wants no more; raised by an `idle`."""


class Connection:
    """One job: messages to and from the worker, each perhaps with bytes behind it.

    Args:
        link: connected.
        idle: called at least every `TICK` seconds while waiting; may raise `Cancelled`.
        token: what the worker wants to see with a request, on Windows.
    """

    def __init__(self, link: socket.socket, idle: Idle, token: str = "") -> None:
        link.setblocking(False)
        self._link = link
        self._idle = idle
        self._token = token
        self._unread = bytearray()
        self.greeting, _ = self.receive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; what the worker was doing for us, it stops."""
        self._link.close()

    def ask(self, request: Message) -> None:
        """Send the message that says what is wanted."""
        self.send({**request, "token": self._token} if self._token else request)

    def send(self, message: Message, payload: bytes | memoryview = b"") -> None:
        """Send a message, and the bytes that belong to it.

        Raises:
            WorkerError: the worker refused it; with its reason.
        """
        if payload:
            message = {**message, "bytes": len(payload)}
        for part in (json.dumps(message).encode() + b"\n", payload):
            left = memoryview(part)
            while left:
                self._wait(to_write=True)
                try:
                    left = left[self._link.send(left[:_CHUNK]) :]
                except BlockingIOError:
                    continue
                except OSError:
                    self._raise_reason()

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """Wait for a message, and the bytes that belong to it.

        Raises:
            WorkerError: the worker said that something cannot be done, or ended.
        """
        while b"\n" not in self._unread:
            self._unread += self._read()
        line, _, rest = self._unread.partition(b"\n")
        message = json.loads(line)
        if "error" in message:
            raise WorkerError(message["error"])
        size = message.get("bytes", 0)
        parts, have = [bytes(rest[:size])], min(size, len(rest))
        self._unread = rest[size:]
        while have < size:
            part = self._read(size - have)
            parts.append(part)
            have += len(part)
        return message, b"".join(parts)

    def _read(self, most: int = _CHUNK) -> bytes:
        while True:
            self._wait()
            try:
                data = self._link.recv(min(most, _CHUNK))
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                raise WorkerError(f"The dreaming process ended in the middle. {_REMEDY}")
            return data

    def _wait(self, *, to_write: bool = False) -> None:
        """Return when the socket is ready, and let the program live until then."""
        while True:
            readable, writable, _ = select.select(
                [] if to_write else [self._link], [self._link] if to_write else [], [], TICK
            )
            self._idle()
            if readable or writable:
                return

    def _raise_reason(self) -> None:
        while True:  # the last message says why; before it there may be reports
            self.receive()


def connect(installation: Message, idle: Idle) -> Connection:
    """Connect to the worker, starting one if there is none or only that of an older release.

    Args:
        installation: says "python", the "worker"'s folder and our "reverie" version.
        idle: see `Connection`.
    Raises:
        WorkerError: none can be started, or it speaks another protocol.
    """
    folder = Path(installation["worker"])
    link = _knock(folder, idle) or _start(installation, folder, idle)
    if _version(link.greeting["reverie"]) < _version(installation["reverie"]):
        link.ask({"do": "retire"})
        link.receive()
        link.close()
        link = _start(installation, folder, idle)
    if link.greeting["protocol"] != PROTOCOL:
        link.close()
        raise WorkerError(
            "This plug-in is of another release than the reverie it found. "
            "Run this in a terminal, then start GIMP anew: reverie install gimp"
        )
    return link


def _knock(folder: Path, idle: Idle) -> Connection | None:
    """Connect to the worker that left its address, if it still answers."""
    try:
        card = json.loads((folder / "worker.json").read_text("utf-8"))
        address = card["address"]
        is_path = isinstance(address, str)
        link = socket.socket(socket.AF_UNIX if is_path else socket.AF_INET)
    except (OSError, ValueError, KeyError):
        return None
    try:
        link.settimeout(PATIENCE)
        link.connect(address if is_path else tuple(address))
        return Connection(link, idle, card.get("token", ""))
    except (OSError, WorkerError):
        link.close()
        return None


def _start(installation: Message, folder: Path, idle: Idle) -> Connection:
    """Start a worker of its own life, and wait until it, or another's, answers."""
    python = installation["python"]
    quiet = 0
    if sys.platform == "win32":
        quiet = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(  # noqa: S603 - the Python that `reverie install` wrote down
                [python, "-m", "reverie", "worker", "--at", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                cwd=Path(python).anchor,
                env=clean_environment(os.environ),
                start_new_session=True,  # GIMP's Cancel kills our process group
                creationflags=quiet,
            )
            _STARTED.append(process)
        except OSError as error:
            raise WorkerError(
                f"The Python that has reverie, {python}, does not start ({error.strerror}). "
                "Run this in a terminal: reverie install gimp"
            ) from None
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            # Asked before the knock: one who finds another worker alive ends, and that is well.
            ended = process.poll()
            if link := _knock(folder, idle):
                return link
            if ended:
                break
            idle()
            time.sleep(TICK)
        said.seek(0)
        reason = said.read().decode(errors="replace").strip().splitlines()[-1:]
    because = f" ({reason[0]})" if reason else ""
    raise WorkerError(f"The dreaming process does not start{because}. {_REMEDY}")


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out what GIMP's own Python and libraries were told."""
    return {key: value for key, value in environment.items() if not key.startswith(_FOREIGN)}


def _version(text: str) -> tuple[int, ...]:
    """Give "0.10.2rc1" as (0, 10, 2): enough to know the older release."""
    numbers = []
    for part in text.split("."):
        digits = re.sub(r"\D.*", "", part)
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)
