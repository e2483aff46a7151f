"""Where a dream's progress is shown: here GIMP's status bar, in dialog.py the dialog as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gi.repository import Gimp

if TYPE_CHECKING:
    from typing import Protocol

    from typing_extensions import Self

    class Report(Protocol):
        """Who is told what happens during a dream."""

        frames: int
        """Longest side in px of the frames that are wanted; 0: none."""
        wants_stop: bool
        """End now, and keep what is there."""

        def idle(self) -> None:
            """Called often while nothing happens; raises `Cancelled` to end the dream."""

        def hear(self, message: dict[str, Any], payload: bytes) -> None:
            """Take one of the worker's reports."""


class StatusBar:
    """GIMP's own progress bar, at the foot of the image or in the program that called."""

    frames = 0
    wants_stop = False

    def __enter__(self) -> Self:
        Gimp.progress_init("Reverie starts")
        return self

    def __exit__(self, *_: object) -> None:
        Gimp.progress_end()

    def idle(self) -> None:
        """GIMP's Cancel kills the plug-in: there is nothing to ask."""

    def hear(self, message: dict[str, Any], _payload: bytes) -> None:
        """Show how far it is."""
        if "notice" in message:
            Gimp.message(message["notice"])
        if text := sentence(message):
            Gimp.progress_set_text(text)
        if "done" in message:
            Gimp.progress_update(message["done"])
        elif "fetching" in message and message["in_all"]:
            Gimp.progress_update(message["so_far"] / message["in_all"])


def sentence(message: dict[str, Any]) -> str:
    """Say what a report says, for people; nothing if there is nothing to say."""
    if "waiting" in message:
        return "Another dream comes first"
    if "fetching" in message:
        return f"Downloading {message['fetching']}: {message['so_far'] / 1e6:.0f} MB"
    if "step" not in message:
        return ""
    where = f"Octave {message['octave']} of {message['octaves']}"
    left = message["seconds_left"]
    return where if left is None else f"{where}, {time_left(left)} left"


def time_left(seconds: float) -> str:
    """Write a duration down as people say it.

    >>> time_left(3.2), time_left(125)
    ('4 s', '3 min')
    """
    minute = 60
    return f"{int(seconds) + 1} s" if seconds < minute else f"{int(seconds / minute) + 1} min"
