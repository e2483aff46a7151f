"""What can be wrong with a worker's folder, each fault with its remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reverie import __version__
from reverie.worker.place import CARD, LOCK, openness

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def examine(folder: Path) -> Iterator[str]:
    """Say what is wrong; nothing if no worker has ever been there, or all is well.

    Yields:
        A sentence for each fault.
    """
    if not folder.exists():
        return
    if fault := openness(folder):
        yield fault
        return
    from reverie.worker.knocking import greet

    greeting = greet(folder)
    if greeting is not None:
        if is_older(greeting.reverie, __version__):
            yield (
                f"the worker in {folder} is of reverie {greeting.reverie}, this is {__version__}; "
                f"it is replaced by: reverie worker --at {folder}"
            )
        return
    if _is_locked(folder):
        yield (
            f"a worker holds {folder / LOCK} but does not answer; "
            f"end its process{_whose(folder)}, and look into worker.log beside it"
        )
    elif (folder / CARD).exists():
        yield (
            f"{folder / CARD} was left by a worker that did not end properly; "
            "the next one replaces it, worker.log beside it says more"
        )


def is_older(release: str, than: str) -> bool:
    """Compare two releases; one that is no version is older than any."""
    from packaging.version import InvalidVersion, Version

    try:
        return Version(release) < Version(than)
    except InvalidVersion:
        return True


def _is_locked(folder: Path) -> bool:
    from filelock import FileLock, Timeout

    if not (folder / LOCK).exists():
        return False
    try:
        with FileLock(folder / LOCK, timeout=0):
            return False
    except (Timeout, OSError):
        return True


def _whose(folder: Path) -> str:
    from reverie.worker.place import read_card

    card = read_card(folder)
    return "" if card is None else f" {card.pid}"
