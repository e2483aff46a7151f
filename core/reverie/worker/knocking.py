"""Asks the worker that lives in a folder, as any client would."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reverie.worker.messages import LONGEST_ANSWER, Channel, HungUp, ProtocolError
from reverie.worker.place import read_card

if TYPE_CHECKING:
    from pathlib import Path

    from reverie.worker.place import Card

PATIENCE = 2.0
"""Seconds; a worker that lives greets at once."""


@dataclass(frozen=True)
class Greeting:
    """What a worker says first."""

    reverie: str
    protocol: int
    pid: int


def greet(folder: Path) -> Greeting | None:
    """Connect to the worker in this folder; None if nobody answers."""
    found = _talk(folder, None)
    if found is None:
        return None
    try:
        return Greeting(str(found["reverie"]), int(found["protocol"]), int(found["pid"]))
    except (KeyError, TypeError, ValueError):
        return None


def ask(folder: Path, request: dict[str, Any]) -> dict[str, Any] | None:
    """Give the worker's first message to a request; None if nobody answers."""
    return _talk(folder, request)


def _talk(folder: Path, request: dict[str, Any] | None) -> dict[str, Any] | None:
    card = read_card(folder)
    if card is None:
        return None
    try:
        with _connect(card) as link:
            channel = Channel(link, longest=LONGEST_ANSWER, patience=PATIENCE)
            said = channel.receive()
            if request is not None:
                channel.send({**request, "token": card.token} if card.token else request)
                said = channel.receive()
            return said
    except (OSError, HungUp, ProtocolError):
        return None


def _connect(card: Card) -> socket.socket:
    by_path = isinstance(card.address, str)
    link = socket.socket(socket.AF_UNIX if by_path else socket.AF_INET, socket.SOCK_STREAM)
    link.settimeout(PATIENCE)
    try:
        link.connect(card.address)
    except OSError:
        link.close()
        raise
    return link
