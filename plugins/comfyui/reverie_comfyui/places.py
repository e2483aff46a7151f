"""Where ComfyUI keeps its node packs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reverie.errors import InstallError

if TYPE_CHECKING:
    from collections.abc import Iterator

PACK = "reverie"
"""The folder of our nodes."""
NODES = "custom_nodes"
"""The folder of all packs."""
USUAL = ("ComfyUI", "Documents/ComfyUI", "comfy/ComfyUI")
"""Below the user's home: a clone, the desktop program's folder, and that of comfy-cli."""


def pack_folder(path: Path | None) -> Path:
    """Find the folder for our nodes.

    Args:
        path: ComfyUI's own folder, the base folder of its desktop program, or `custom_nodes`; None
            takes the one in a usual place.
    Raises:
        InstallError: it is none of these, or there is none or more than one.
    """
    if path is not None:
        return _nodes_folder(path) / PACK
    found = usual_folders()
    if len(found) != 1:
        places = ", ".join(map(str, found)) or "no usual place"
        raise InstallError(
            f"ComfyUI is in {places}; say which: reverie install comfyui --path DIR, where DIR is "
            "ComfyUI's folder."
        )
    return found[0] / PACK


def usual_folders() -> list[Path]:
    """List the `custom_nodes` that are in usual places."""
    candidates = (Path.home() / place / NODES for place in USUAL)
    return [folder for folder in candidates if folder.is_dir()]


def copies(nodes: Path) -> Iterator[Path]:
    """Find all copies of our nodes in a `custom_nodes`, whatever their folders are called."""
    for folder in sorted(nodes.iterdir()):
        if (folder / "plugins" / "comfyui" / "reverie_comfyui").is_dir():
            yield folder


def _nodes_folder(path: Path) -> Path:
    if path.name == PACK and path.parent.name == NODES:
        path = path.parent
    folder = path if path.name == NODES else path / NODES
    if not folder.is_dir():
        raise InstallError(
            f"{path} is no folder of ComfyUI: there is no {NODES} in it; give the folder that has "
            f"{NODES}, or {NODES} itself, with --path."
        )
    return folder
