"""Regions: other objectives where channels of the image are white."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gi.repository import Babl

from region_lines import join, pairs
from worker_client import WorkerError

if TYPE_CHECKING:
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
    for name, objective in pairs(config.get_property("regions"), channels):
        if name not in channels:
            listed = ", ".join(f'"{one}"' for one in channels)
            raise WorkerError(
                f'Regions: the image has no channel "{name}"; '
                + (f"it has {listed}." if listed else "Select > Save to Channel makes one.")
            )
        found.append(Region(channels[name], objective))
    return found


def forget_others(config: Gimp.ProcedureConfig, image: Gimp.Image) -> None:
    """Leave out regions of another image, which this one has no channels for."""
    names = [channel.get_name() for channel in image.get_channels()]
    regions = pairs(config.get_property("regions"), names)
    config.set_property("regions", join(region for region in regions if region[0] in names))
