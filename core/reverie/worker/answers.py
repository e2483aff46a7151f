"""What a worker can tell: what is installed, a network's layers, and how it is itself."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.plugins import registry
from reverie.worker.messages import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping


Message = dict[str, Any]


def catalogue() -> Message:
    """List what is installed now, plug-ins included."""
    found = registry()
    return {
        "networks": [
            {
                "name": network.name,
                "summary": network.summary,
                "default_layer": network.default_layer,
                "download": network.weights is not None,
            }
            for network in found.networks().values()
        ],
        "presets": [
            {
                "name": preset.name,
                "summary": preset.summary,
                "source": preset.source,
                "notice": preset.notice,
                "recipe": json.loads(preset.recipe.to_json()),
            }
            for preset in found.presets().values()
        ],
        "objectives": [
            {"call": factory.call, "summary": factory.summary}
            for factory in found.objectives().values()
        ],
        "parameterizations": [
            {"name": space.name, "summary": space.summary}
            for space in found.parameterizations().values()
        ],
    }


def layers(request: Mapping[str, Any]) -> Message:
    """List a network's layers in their order.

    Raises:
        ProtocolError: none was named.
        NetworkError: it is unknown, or its layers cannot be found without its weights.
    """
    from reverie.networks.loading import list_layers

    name = request.get("network")
    if not isinstance(name, str):
        raise ProtocolError(f"network: {name!r:.40} is not a name.")
    found, default = list_layers(name)
    return {
        "layers": [
            {"name": layer.name, "channels": layer.channels, "stride": layer.stride}
            for layer in found.values()
        ],
        "default": default,
    }


def status(*, jobs: int, waiting: int, idle_seconds: float, device: str | None) -> Message:
    """Say what the worker does, and what it takes."""
    return {
        "jobs": jobs,
        "waiting": waiting,
        "idle_seconds": round(idle_seconds, 1),
        "memory_bytes": memory(),
        "device": device,
        "python": sys.executable,
    }


def memory() -> int | None:
    """Bytes of memory that this process takes now; None where only an extension could tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
