"""Where GIMP 3 looks for plug-ins: the profiles that a user may have."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from reverie.errors import InstallError

if TYPE_CHECKING:
    from collections.abc import Iterator

PLUGIN = "reverie-dream"
"""The plug-in's folder, and its script's name without .py: GIMP asks that they agree."""


def plugin_folder(path: Path) -> Path:
    """Give the plug-in's folder for what a user may mean: a profile, its plug-ins, or the folder.

    Raises:
        InstallError: there is no such folder.
    """
    path = path.expanduser().absolute()
    if path.name == PLUGIN:
        path = path.parent
    if not path.is_dir():
        raise InstallError(
            f"{path} is not a folder; give GIMP's profile, such as {_usual()[0] / '3.0'}, "
            "or a folder that GIMP's preferences list under Folders > Plug-ins."
        )
    is_profile = path.name != "plug-ins" and (
        (path / "plug-ins").is_dir()
        or (path / "gimprc").exists()
        or (path / "pluginrc").exists()
        or path.parent.name == "GIMP"
    )
    return (path / "plug-ins" if is_profile else path) / PLUGIN


def profiles() -> list[Path]:
    """List the GIMP 3 profiles of this user, the one of the environment first.

    Raises:
        InstallError: there is none.
    """
    found = list(dict.fromkeys(_profiles()))
    if not found:
        raise InstallError(
            f"no GIMP 3 profile was found in {', '.join(map(str, _usual()))}; start GIMP 3 once, "
            "which makes it, or give its folder with --path. GIMP 2 cannot be used."
        )
    return found


def _profiles() -> Iterator[Path]:
    if named := os.environ.get("GIMP3_DIRECTORY"):
        profile = Path(named).expanduser()
        # GIMP takes a relative name to be one in the home folder.
        yield profile if profile.is_absolute() else Path.home() / profile
    for folder in _usual():
        if folder.is_dir():
            yield from sorted(p for p in folder.glob("3.*") if p.is_dir())


def _usual() -> list[Path]:
    """The folders of profiles: GIMP's own, and those of Flatpak and Snap that existed or exist."""
    home = Path.home()
    if sys.platform == "win32":
        return [Path(os.environ.get("APPDATA", home / "AppData" / "Roaming")) / "GIMP"]
    if sys.platform == "darwin":
        return [home / "Library" / "Application Support" / "GIMP"]
    return [
        Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "GIMP",  # Flatpak's, too
        home / ".var" / "app" / "org.gimp.GIMP" / "config" / "GIMP",
        home / "snap" / "gimp" / "current" / ".config" / "GIMP",
    ]
