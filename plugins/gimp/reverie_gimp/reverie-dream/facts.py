"""What `reverie install gimp` wrote down for the plug-in, in installation.json."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker_client import WorkerError

FILE = Path(__file__).with_name("installation.json")


@dataclass(frozen=True)
class Facts:
    """The set-up; without arguments when it is broken, and the plug-in is offered nevertheless."""

    python: str = ""
    """The Python that has reverie."""
    worker: str = ""
    """The worker's folder."""
    reverie: str = "0"
    """The release that the plug-in is part of."""
    arguments: list[dict[str, Any]] = field(default_factory=list)
    """The procedure's arguments, in order."""
    networks: list[dict[str, Any]] = field(default_factory=list)
    """Those known when it was installed; the dialog asks the worker for today's."""
    presets: list[dict[str, Any]] = field(default_factory=list)
    fault: str = ""
    """Why it is broken, in a sentence."""

    def require(self) -> None:
        """Refuse to go on with a broken set-up.

        Raises:
            WorkerError: says what to do.
        """
        if self.fault:
            raise WorkerError(self.fault)
        if not Path(self.python).exists():
            raise WorkerError(
                f"The Python that has reverie, {self.python}, is gone. Install reverie again, "
                "and run this in a terminal: reverie install gimp"
            )


def read_facts() -> Facts:
    """Read the file; what is wrong with it is kept for when the user calls."""
    try:
        data = json.loads(FILE.read_text("utf-8"))
        return Facts(**{key: data[key] for key in Facts.__dataclass_fields__ if key != "fault"})
    except (OSError, ValueError, KeyError, TypeError):
        return Facts(
            fault=f"Reverie's plug-in was not set up: {FILE.name} is missing or damaged. "
            "Run this in a terminal, then start GIMP anew: reverie install gimp"
        )
