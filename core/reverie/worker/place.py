"""The worker's folder: closed to others, with a card that says where the worker listens."""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = "REVERIE_WORKER_DIR"
"""Environment variable: the folder to use instead of the system's usual one."""
CARD = "worker.json"
SOCKET = "worker.sock"
LOCK = "worker.lock"
LOG = "worker.log"
LONGEST_PATH = 100
"""Bytes of a Unix socket's path; systems take 104 or 108."""
_FOR_ME = 0o700
_OTHERS = 0o077
"""The permission bits of everybody else."""


def worker_folder() -> Path:
    """Give the folder of this user's worker, which need not be there yet."""
    if own := os.environ.get(FOLDER):
        return Path(own).expanduser().absolute()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or _home() / "AppData/Local") / "reverie/worker"
    if sys.platform == "darwin":
        return _home() / "Library/Caches/reverie/worker"
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if Path(cache).is_absolute() else _home() / ".cache") / "reverie/worker"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        raise WorkerError(
            f"this user has no home folder for the worker; set {FOLDER} to a folder of yours."
        ) from None


def make_folder(folder: Path) -> None:
    """Make the folder for this user alone, or see that it is so.

    Raises:
        WorkerError: it cannot be made, or others may enter it.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=_FOR_ME, exist_ok=True)
        fault = openness(folder)
    except OSError as error:
        raise WorkerError(
            f"the worker's folder {folder} cannot be made ({error.strerror or error}); "
            f"set {FOLDER} to a folder of yours."
        ) from None
    if fault:
        raise WorkerError(fault)


def openness(folder: Path) -> str:
    """Say in a sentence who else may enter a folder that is there; "" if nobody may.

    On Windows a user's folders are closed by their place, and nothing is checked.
    """
    if sys.platform == "win32":
        return ""
    found = folder.stat()
    if not stat.S_ISDIR(found.st_mode):
        return f"{folder} is not a folder; move it away."
    if found.st_uid != os.geteuid():
        return (
            f"the worker's folder {folder} belongs to another user; remove it, "
            f"or set {FOLDER} to a folder of yours."
        )
    if found.st_mode & _OTHERS:
        return f"others may enter the worker's folder {folder}; run: chmod 700 {folder}"
    return ""


def socket_path(folder: Path) -> Path:
    """Give the path for the socket: in the folder, or in a new one for this user if that is long.

    Such a new folder is the caller's to remove.
    """
    path = folder / SOCKET
    if len(os.fsencode(path)) <= LONGEST_PATH:
        return path
    return Path(tempfile.mkdtemp(prefix="reverie-")) / SOCKET  # mkdtemp closes it to others


@dataclass(frozen=True)
class Card:
    """What a worker that listens says of itself."""

    reverie: str
    protocol: int
    pid: int
    address: str | tuple[str, int]
    """A Unix socket's path, or host and port."""
    token: str = ""
    """What every request must carry; "" for a Unix socket."""


def write_card(folder: Path, card: Card) -> None:
    """Put the card into the folder, whole at once, readable for this user only."""
    data: dict[str, Any] = {
        "reverie": card.reverie,
        "protocol": card.protocol,
        "pid": card.pid,
        "address": card.address,
    }
    if card.token:
        data["token"] = card.token
    handle, name = tempfile.mkstemp(dir=folder, prefix=CARD)  # mkstemp makes it for us alone
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(data, file)
    Path(name).replace(folder / CARD)


def read_card(folder: Path) -> Card | None:
    """Read the card; None if there is none, or it says nothing that can be used."""
    try:
        data = json.loads((folder / CARD).read_text("utf-8"))
        return _card(data)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _card(data: Mapping[str, Any]) -> Card:
    address = data["address"]
    if not isinstance(address, str):
        host, port = address
        address = (str(host), int(port))
    return Card(
        reverie=str(data["reverie"]),
        protocol=int(data["protocol"]),
        pid=int(data["pid"]),
        address=address,
        token=str(data.get("token", "")),
    )
