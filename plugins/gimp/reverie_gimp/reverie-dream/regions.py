"""Regions: other objectives where channels of the image are white, as a text and as masks.

The text is what GIMP keeps, and scripts give: a line "CHANNEL = OBJECTIVE" for each, or the channel
alone for the network's default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gi.repository import Babl

from worker_client import WorkerError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gi.repository import Gegl, Gimp


@dataclass(frozen=True)
class Region:
    """Where another objective is climbed."""

    channel: Gimp.Channel
    """As large as the image."""
    objective: str
    """As the worker takes it; empty is the network's default."""

    @property
    def mask(self) -> Gegl.Buffer:
        """Its pixels, in the image's coordinates."""
        return self.channel.get_buffer()

    @property
    def form(self) -> str:
        """Babl's name for its own numbers in 8 bits, so that half selected is half in any image."""
        encoding = str(Babl.get_name(self.channel.get_format())).partition(" ")[0]
        return f"{encoding} u8"


def regions_of(config: Gimp.ProcedureConfig, image: Gimp.Image) -> list[Region]:
    """Find the channels of the regions that the configuration names.

    Raises:
        WorkerError: the image has no such channel.
    """
    channels = {channel.get_name(): channel for channel in image.get_channels()}
    found = []
    for line in lines_of(config):
        name, objective = split(line, channels)
        if name not in channels:
            listed = ", ".join(f'"{one}"' for one in channels)
            raise WorkerError(
                f'Regions: the image has no channel "{name}"; '
                + (f"it has {listed}." if listed else "Select > Save to Channel makes one.")
            )
        found.append(Region(channels[name], objective))
    return found


def lines_of(config: Gimp.ProcedureConfig) -> list[str]:
    """List the regions' lines."""
    text = config.get_property("regions") or ""
    return [line.strip() for line in text.splitlines() if line.strip()]


def split(line: str, names: Iterable[str]) -> tuple[str, str]:
    """Give channel and objective of a line, of which the objective may be left out.

    Args:
        line: as the text has it.
        names: of the image's channels: there may be a "=" in them.
    """
    ends = ("", "=")
    fitting = [n for n in names if line.startswith(n) and line[len(n) :].lstrip()[:1] in ends]
    name = max(fitting, key=len, default=line.partition("=")[0].rstrip())
    return name, line[len(name) :].lstrip().removeprefix("=").strip()


def forget_others(config: Gimp.ProcedureConfig, image: Gimp.Image) -> None:
    """Leave out regions of another image, which this one has no channels for."""
    names = [channel.get_name() for channel in image.get_channels()]
    kept = [line for line in lines_of(config) if split(line, names)[0] in names]
    config.set_property("regions", "\n".join(kept))
