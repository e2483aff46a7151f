"""The worker's socket, and who may come through it."""

from __future__ import annotations

import os
import secrets
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.errors import WorkerError
from reverie.worker.place import SOCKET, socket_path

if TYPE_CHECKING:
    from collections.abc import Mapping

HAS_UNIX_SOCKETS = hasattr(socket, "AF_UNIX") and sys.platform != "win32"
_BACKLOG = 64
_BUFFER = 2**20
"""Bytes that the system may hold for us on the way; it takes less if that is its limit."""


@dataclass(frozen=True)
class Door:
    """A socket that listens.

    Attributes:
        address: where it can be reached.
        token: what requests must carry; "" where the system keeps others out.
        made: a folder that was made for the socket alone.
    """

    link: socket.socket
    address: str | tuple[str, int]
    token: str = ""
    made: Path | None = None

    def admits(self, visitor: socket.socket) -> bool:
        """Tell whether this user is at the other end, where the system can say."""
        if not isinstance(self.address, str):
            return True  # its requests will show the token
        uid = peer_uid(visitor)
        return uid is None or uid == _my_uid()

    def knows(self, request: Mapping[str, Any]) -> bool:
        """Tell whether a request carries the token, if there is one."""
        shown = str(request.get("token", ""))
        return not self.token or secrets.compare_digest(shown.encode(), self.token.encode())

    def withdraw(self) -> None:
        """Take away the socket's file: nobody finds it any more."""
        with suppress(OSError):
            if isinstance(self.address, str):
                Path(self.address).unlink(missing_ok=True)
            if self.made is not None:
                self.made.rmdir()


def open_door(folder: Path, *, by_network: bool = not HAS_UNIX_SOCKETS) -> Door:
    """Begin to listen; the caller holds the folder's lock.

    Args:
        folder: the worker's.
        by_network: on this machine's loopback address with a token, instead of a Unix socket.
    Raises:
        WorkerError: the system does not allow it.
    """
    try:
        return _by_network() if by_network else _in_folder(folder)
    except OSError as error:
        raise WorkerError(
            f"the worker cannot listen in {folder} ({error.strerror or error}); "
            "choose a folder on a local disk with --at."
        ) from error


def _by_network() -> Door:
    link = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if sys.platform == "win32":
        link.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    link.bind(("127.0.0.1", 0))
    link.listen(_BACKLOG)
    link.setblocking(False)
    return Door(link, ("127.0.0.1", link.getsockname()[1]), secrets.token_hex(32))


def _in_folder(folder: Path) -> Door:
    (folder / SOCKET).unlink(missing_ok=True)  # of a worker that was killed: we hold its lock
    path = socket_path(folder)
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.bind(str(path))
    path.chmod(0o600)
    link.listen(_BACKLOG)
    link.setblocking(False)
    return Door(link, str(path), made=None if path.parent == folder else path.parent)


def widen(link: socket.socket) -> None:
    """Let more bytes be on the way at once: fewer turns between the two sides."""
    for direction in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        with suppress(OSError):
            link.setsockopt(socket.SOL_SOCKET, direction, _BUFFER)


def peer_uid(visitor: socket.socket) -> int | None:
    """Ask the system which user is at the other end of a Unix socket; None where it cannot say."""
    if sys.platform == "linux":
        known = visitor.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", known)[1])  # process, user, group
    if sys.platform == "darwin":
        local, peer = 0, 1  # SOL_LOCAL and LOCAL_PEERCRED, for which Python has no names
        known = visitor.getsockopt(local, peer, 128)
        return int(struct.unpack_from("=II", known)[1])  # struct xucred: version, user, ...
    return None


def _my_uid() -> int:
    return -1 if sys.platform == "win32" else os.geteuid()
