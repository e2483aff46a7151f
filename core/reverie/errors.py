"""Every error reverie raises on purpose; each message is one sentence a user can act on."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


class ReverieError(Exception):
    """The base of all: hosts show its message as it is, without a traceback."""


class RecipeError(ReverieError, ValueError):
    """A recipe's field, file or version is not valid."""


class ImageError(ReverieError, ValueError):
    """A picture, array or tensor cannot be read, dreamed on or written."""


class ObjectiveError(ReverieError, ValueError):
    """An objective's text or arguments are not valid."""


class NetworkError(ReverieError):
    """A network or layer is unknown, or cannot be dreamed with."""


class WeightsError(NetworkError):
    """Weights are missing, damaged, unsafe, or could not be downloaded."""


class PluginError(ReverieError):
    """A plug-in breaks the contract of the hooks."""


class InstallError(ReverieError):
    """An adapter cannot be put into, or taken away from, a program's folder."""


class WorkerError(ReverieError):
    """The worker cannot be started, reached or understood."""


class Cancelled(ReverieError):  # noqa: N818 - it is a request, not a fault
    """Raise it from `on_step` to end a dream; `dream` adds what it has so far and raises on.

    Attributes:
        image: the best picture so far, of the kind that was given to `dream`; None before a step.
        done: how much of the dream was done, 0..1.
    """

    def __init__(self, message: str = "the dream was cancelled") -> None:
        super().__init__(message)
        self.image: Any = None
        self.done = 0.0


_SHOWN = 12
"""How many names a sentence lists before it stops."""


def unknown_name(kind: str, name: str, known: Iterable[str], remedy: str = "") -> str:
    """Say that `name` is no known `kind`, with the nearest right names or all of a few.

    >>> unknown_name("preset", "clasic", ["classic", "subtle"])
    "there is no preset 'clasic'; did you mean 'classic'?"
    """
    names = sorted(known)
    near = (
        difflib.get_close_matches(name, names, n=3)
        or [n for n in names if name and name.lower() in n.lower()][:3]
    )
    sentence = f"there is no {kind} {name!r}"
    if near:
        sentence += f"; did you mean {' or '.join(map(repr, near))}?"
    elif names:
        sentence += f"; known: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}."
    else:
        sentence += "."
    return f"{sentence} {remedy}".rstrip()
