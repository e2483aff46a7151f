"""What can be wrong between GIMP and reverie, each fault with its remedy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from reverie import __version__
from reverie_gimp.installer import INSTALLATION, SCRIPT, installed

if TYPE_CHECKING:
    from collections.abc import Iterator

AGAIN = "run: reverie install gimp"
_SHEBANG = b"#!/usr/bin/env python3"
_PATIENCE = 60
"""Seconds that another Python may take to load torch."""


def faults() -> Iterator[str]:
    """Check every copy of the plug-in, and the worker that they share; none if all is well."""
    from reverie.worker import examine
    from reverie.worker.place import worker_folder

    folders: set[Path] = set()
    for folder in installed():
        yield from _script(folder)
        facts = _facts(folder)
        if facts is None:
            yield f"{folder / INSTALLATION} is missing or damaged; {AGAIN}"
            continue
        if facts["reverie"] != __version__:
            yield f"{folder} is of reverie {facts['reverie']}, this is {__version__}; {AGAIN}"
        yield from _python(Path(facts["python"]))
        folders.add(Path(facts["worker"]))
    for folder in sorted(folders - {worker_folder()}):  # that one, the general check has seen
        yield from examine(folder)


def _script(folder: Path) -> Iterator[str]:
    script = folder / SCRIPT
    if not script.is_file():
        yield f"{script} is missing; {AGAIN}"
        return
    if os.name == "posix" and not os.access(script, os.X_OK):
        yield f"{script} may not be run, so GIMP passes it over; {AGAIN}"
    if not script.read_bytes().startswith(_SHEBANG):
        yield f"{script} does not begin with {_SHEBANG.decode()}; {AGAIN}"
    cache = folder.parents[1] / "pluginrc"
    if cache.is_file() and SCRIPT not in cache.read_text("utf-8", errors="replace"):
        yield f"GIMP has not looked at {script} yet; start GIMP anew"
    twins = [
        f.parent for f in folder.parents[1].glob(f"**/plug-ins/*/{SCRIPT}") if f.parent != folder
    ]
    if twins:
        yield f"GIMP also finds the plug-in in {twins[0]}, and takes only one; remove that folder"


def _facts(folder: Path) -> dict[str, str] | None:
    try:
        facts = json.loads((folder / INSTALLATION).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    keys = ("reverie", "python", "worker")
    is_whole = isinstance(facts, dict) and all(isinstance(facts.get(key), str) for key in keys)
    return facts if is_whole else None


def _python(python: Path) -> Iterator[str]:
    """Ask the Python that the plug-in starts, unless it is the one that asks."""
    if python == Path(sys.executable):
        return
    if not python.exists():
        yield f"the plug-in's Python, {python}, is gone; {AGAIN}"
        return
    try:
        done = subprocess.run(  # noqa: S603 - the Python that `install` wrote down
            [python, "-c", "import torch, torchvision, reverie"],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        yield f"the plug-in's Python, {python}, does not start ({error}); {AGAIN}"
        return
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
        yield f"the plug-in's Python, {python}, cannot load reverie ({last}); {AGAIN}"
