"""`reverie install comfyui`: a copy of the whole pack, which needs nothing of this Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import reverie
import reverie_comfyui
from reverie.errors import InstallError
from reverie.installing import files_in, is_ours, put_folder, read_marker, remove_folder
from reverie_comfyui.places import PACK, copies, pack_folder, usual_folders

if TYPE_CHECKING:
    from collections.abc import Iterator

DOOR = "__init__.py"
"""What ComfyUI imports."""
AGAIN = "run: reverie install comfyui --path"


def install(path: Path | None) -> Iterator[str]:
    """Copy the pack into a ComfyUI, or bring an earlier copy up to date.

    Args:
        path: see `pack_folder`.
    Yields:
        What was done where, and what to do next.
    Raises:
        InstallError: there is no ComfyUI, another copy of the nodes is in it, or a folder is not
            ours or cannot be written.
    """
    target = pack_folder(path)
    others = [copy for copy in copies(target.parent) if copy != target]
    if others:
        raise InstallError(
            f"the nodes are in {others[0]} already, and ComfyUI would load both; remove that "
            "folder first, or update it with git pull if it is a clone."
        )
    was_there = is_ours(target)
    put_folder(target, pack())
    yield f"{'Updated' if was_there else 'Installed'} {target}"
    yield 'Start ComfyUI anew; the nodes are in the menu under "reverie".'


def uninstall(path: Path | None) -> Iterator[str]:
    """Take the pack out of a ComfyUI.

    Raises:
        InstallError: it is not there, not ours, or cannot be removed.
    """
    target = pack_folder(path)
    left = remove_folder(target)
    if left:
        names = ", ".join(file.name for file in left)
        yield f"Removed the nodes from {target}; left what is not reverie's: {names}"
    else:
        yield f"Removed {target}"
    yield "Start ComfyUI anew."


def pack() -> dict[str, bytes]:
    """Read all files of the pack, in the layout of a clone, whether this is one or a wheel.

    Raises:
        InstallError: this installation lacks a part.
    """
    core = Path(reverie.__file__).parent
    adapter = Path(str(reverie_comfyui.__file__)).parent
    shipped = adapter / "pack"  # where a wheel has what a clone has at its root
    root = shipped if shipped.is_dir() else adapter.parents[2]
    web = (shipped if shipped.is_dir() else adapter.parent) / "web"
    if not (root / DOOR).is_file():
        raise InstallError(f"{root / DOOR} is missing in this installation; install reverie anew.")
    files = {
        name: (root / name).read_bytes()
        for name in (DOOR, "requirements.txt", "LICENSE")
        if (root / name).is_file()
    }
    for place, folder in {
        "core/reverie": core,
        "plugins/comfyui/reverie_comfyui": adapter,
        "plugins/comfyui/web": web,
        "example_workflows": root / "example_workflows",
        "locales": root / "locales",
    }.items():
        found = files_in(folder) if folder.is_dir() else {}
        files |= {f"{place}/{name}": data for name, data in found.items()}
    inner = "plugins/comfyui/reverie_comfyui/pack/"
    return {name: data for name, data in files.items() if not name.startswith(inner)}


def faults() -> Iterator[str]:
    """Check the copies in usual places; none if all is well."""
    for nodes in usual_folders():
        found = list(copies(nodes))
        if len(found) > 1:
            yield f"ComfyUI loads both {found[0]} and {found[1]}; remove one"
        target = nodes / PACK
        if not is_ours(target):
            continue
        marker = read_marker(target)
        if marker["reverie"] != reverie.__version__:
            yield (
                f"{target} is of reverie {marker['reverie']}, this is {reverie.__version__}; "
                f"{AGAIN} {nodes}"
            )
        missing = [name for name in marker["files"] if not (target / name).is_file()]
        if missing:
            yield f"{target / missing[0]} is missing; {AGAIN} {nodes}"
