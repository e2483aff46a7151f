"""Adapters in other programs' folders: put there whole, taken away whole, never over others' work.

A host that keeps its adapters in a folder (GIMP's `plug-ins`, ComfyUI's `custom_nodes`) is served
with copies: a folder that this file made holds a marker that lists what was put into it, and only
such a folder is replaced or removed.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from reverie import __version__
from reverie.errors import InstallError

if TYPE_CHECKING:
    from collections.abc import Mapping

MARKER = "installed-by-reverie.json"
"""The file that says a folder is ours: the version, and the names of all that was put there."""


def files_in(folder: Path) -> dict[str, bytes]:
    """Read all files below a folder, by their names relative to it with slashes; no caches."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def put_folder(target: Path, files: Mapping[str, bytes], *, executable: str = "") -> None:
    """Make a folder of these files, or replace what an earlier call made there.

    What was there is only moved away when the new folder is complete beside it.

    Args:
        target: the folder to make; its parent is made if need be.
        files: contents by name, relative to the folder, with slashes.
        executable: the name of the file that may be run as a program, if any.
    Raises:
        InstallError: something else is there, or the folder cannot be written.
    """
    if not is_free(target):
        refuse_foreign(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            _fill(made, files, executable)
            _exchange(made, target)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise InstallError(
            f"{target} cannot be written ({error.strerror or error}); "
            "check its permissions, or give another folder with --path."
        ) from None


def remove_folder(target: Path) -> list[Path]:
    """Take away what `put_folder` put there; what others have added since stays.

    Returns:
        The files that were left because they are not ours; the folder is gone if there are none.
    Raises:
        InstallError: the folder is not ours, or cannot be removed.
    """
    refuse_foreign(target)
    try:
        for name in (*read_marker(target)["files"], MARKER):
            (target / PurePosixPath(name)).unlink(missing_ok=True)
        for cache in target.rglob("__pycache__"):
            shutil.rmtree(cache)
        for folder in sorted((p for p in target.rglob("*") if p.is_dir()), reverse=True):
            if not any(folder.iterdir()):
                folder.rmdir()
        left = sorted(path for path in target.rglob("*") if not path.is_dir())
        if not left:
            target.rmdir()
    except OSError as error:
        raise InstallError(
            f"{target} cannot be removed ({error.strerror or error}); "
            "close the program that uses it, check its permissions, and try again."
        ) from None
    return left


def is_free(target: Path) -> bool:
    """Nothing is there, not even a link that leads nowhere, or only an empty folder."""
    if target.is_symlink():
        return False
    return not target.exists() or (target.is_dir() and not any(target.iterdir()))


def is_ours(target: Path) -> bool:
    """`put_folder` has made this folder."""
    return not target.is_symlink() and read_marker(target) is not None


def read_marker(target: Path) -> Any:
    """Read what the marker of a folder says: "reverie" (the version) and "files"; None without."""
    try:
        data = json.loads((target / MARKER).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    names = data.get("files") if isinstance(data, dict) else None
    return data if isinstance(names, list) and all(map(_stays_inside, names)) else None


def refuse_foreign(target: Path) -> None:
    """Raise InstallError unless `put_folder` has made this folder."""
    if target.is_symlink():
        raise InstallError(f"{target} is a link that reverie did not make; remove it first.")
    if not target.exists():
        raise InstallError(f"{target} is not there; nothing is installed in it.")
    if (target / ".git").exists():
        raise InstallError(
            f"{target} is a git clone, which is not ours to replace; update it with git pull, "
            "or move it away first."
        )
    if not is_ours(target):
        raise InstallError(f"{target} was not made by reverie; move it away first.")


def _stays_inside(name: object) -> bool:
    path = PurePosixPath(name) if isinstance(name, str) else PurePosixPath("..")
    return ".." not in path.parts and not path.is_absolute() and ":" not in str(path)


def _fill(folder: Path, files: Mapping[str, bytes], executable: str) -> None:
    for name, content in files.items():
        path = folder / PurePosixPath(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if name == executable else 0o644)
    marker = {"reverie": __version__, "files": sorted(files)}
    (folder / MARKER).write_text(json.dumps(marker, indent=2), "utf-8")
    folder.chmod(0o755)  # tempfile's folders are closed to others, who may share the program


def _exchange(made: Path, target: Path) -> None:
    """Put a folder in the place of another, which is deleted only then."""
    if not target.exists():
        made.rename(target)
        return
    before = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent)) / target.name
    target.rename(before)
    try:
        made.rename(target)
    except OSError:
        before.rename(target)
        raise
    finally:
        shutil.rmtree(before.parent, ignore_errors=True)
