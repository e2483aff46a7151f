"""`reverie install gimp`: the plug-in in every GIMP 3 profile, knowing which Python has reverie."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie import __version__
from reverie.errors import InstallError
from reverie.installing import files_in, is_ours, put_folder, remove_folder
from reverie.plugins import registry
from reverie_gimp.arguments import arguments
from reverie_gimp.profiles import PLUGIN, plugin_folder, profiles

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).parent / PLUGIN
SCRIPT = f"{PLUGIN}.py"
INSTALLATION = "installation.json"


def install(path: Path | None) -> Iterator[str]:
    """Copy the plug-in, or bring an earlier copy up to date.

    Args:
        path: a profile, or a folder of plug-ins; None takes every profile of this user.
    Yields:
        What was done where, and what to do next.
    Raises:
        InstallError: no GIMP 3 is found, or a folder is not ours or cannot be written.
    """
    # GIMP asks a plug-in what it offers only if the script is newer than it knows: it always is,
    # because the folder is made anew.
    for target in _targets(path):
        was_there = is_ours(target)
        put_folder(
            target,
            {**files_in(SOURCE), INSTALLATION: json.dumps(installation(), indent=1).encode()},
            executable=SCRIPT,
        )
        yield f"{'Updated' if was_there else 'Installed'} {target}"
    yield "Start GIMP anew, open a picture, and choose Filters > Artistic > Reverie..."


def uninstall(path: Path | None) -> Iterator[str]:
    """Take the plug-in out of the profiles that have it.

    Raises:
        InstallError: it is nowhere, or a folder is not ours or cannot be removed.
    """
    targets = [target for target in _targets(path) if path is not None or is_ours(target)]
    if not targets:
        raise InstallError("the plug-in is in no GIMP 3 profile; nothing was removed.")
    for target in targets:
        left = remove_folder(target)
        yield (
            f"Removed {target}"
            if not left
            else (
                f"Removed the plug-in from {target}; left what is not reverie's: "
                f"{', '.join(file.name for file in left)}"
            )
        )


def installed() -> list[Path]:
    """List the plug-in's folders that `install` has made in this user's profiles."""
    try:
        found = profiles()
    except InstallError:
        return []
    return [folder for folder in map(plugin_folder, found) if is_ours(folder)]


def installation() -> dict[str, Any]:
    """What the plug-in must know, for its installation.json."""
    from reverie.worker.place import worker_folder

    return {
        "reverie": __version__,
        "python": sys.executable,
        "worker": str(worker_folder()),
        "arguments": arguments(),
        "networks": [
            {"name": network.name, "default_layer": network.default_layer}
            for network in registry().networks().values()
        ],
        "presets": [
            {
                "name": preset.name,
                "summary": preset.summary,
                "recipe": json.loads(preset.recipe.to_json()),
            }
            for preset in registry().presets().values()
        ],
    }


def _targets(path: Path | None) -> list[Path]:
    if path is not None:
        return [plugin_folder(path)]
    targets = []
    for profile in profiles():
        (profile / "plug-ins").mkdir(parents=True, exist_ok=True)
        targets.append(plugin_folder(profile / "plug-ins"))
    return targets
