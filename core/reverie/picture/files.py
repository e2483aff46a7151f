"""Files and folders: which pictures a user means, free names, and writing whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from reverie.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable

# Formats of Pillow's that start another program (Ghostscript), or are stubs without pixels.
_LEFT_OUT = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})


def find_pictures(paths: Iterable[Path]) -> list[Path]:
    """List the pictures that a user means by naming files, folders and patterns (`*.jpg`).

    A file stays as given. A folder stands for the pictures directly in it, 2.jpg before 10.jpg,
    without hidden files and without our own outputs (`photo.dream.png`, `photo.dream-2.png`).
    No picture is listed twice.

    Raises:
        ImageError: a name that is not there, or a folder or pattern without pictures.
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        try:
            for file in _meant_by(path):
                found.setdefault(file.resolve(), file)
        except OSError as error:
            raise ImageError(f"{path} may not be read; change its permissions.") from error
    return list(found.values())


def _meant_by(path: Path) -> list[Path]:
    if path.is_dir():
        return _pictures_among(path.iterdir(), f"the folder {path}")
    if path.exists():
        return [path]
    if re.search(r"[*?\[]", path.name):  # Windows' shell leaves patterns to programs
        return _pictures_among(path.parent.glob(path.name), f"the pattern {path}")
    raise ImageError(f"there is no file {path}; check the name.")


def _pictures_among(candidates: Iterable[Path], place: str) -> list[Path]:
    Image.init()
    endings = {e for e, kind in Image.registered_extensions().items() if kind in picture_formats()}
    pictures = [
        path
        for path in candidates
        if path.suffix.lower() in endings
        and not path.name.startswith(".")
        and not re.search(r"\.dream([-.].*)?$", path.stem)
        and path.is_file()
    ]
    if not pictures:
        raise ImageError(f"{place} has no pictures; name a picture file or another folder.")
    return sorted(pictures, key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", path.name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def picture_formats() -> list[str]:
    """Name the formats of Pillow's that hold pixels, most common first."""
    return [name for name in Image.ID if name in Image.OPEN and name not in _LEFT_OUT]


def free_name(path: Path) -> Path:
    """Give `path` if nothing is there, else the first free of photo-2.png, photo-3.png ..."""
    path = Path(path)
    candidate, number = path, 1
    while os.path.lexists(candidate):
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def check_place(path: Path, *, overwrite: bool) -> None:
    """Raise `ImageError` if no file can be made at `path`; leave nothing there."""
    try:
        if path.is_dir():
            raise ImageError(f"{path} is a folder; name a file in it.")
        if os.path.lexists(path) and not overwrite:
            raise _already_there(path)
        if path.exists() and not os.access(path, os.W_OK):
            raise ImageError(f"{path} is write-protected; choose another name.")
        if not path.parent.is_dir():
            raise ImageError(f"the folder {path.parent} does not exist; create it first.")
        probe = _temporary_name(path)  # read-only disks and network drives show only by trying
        probe.open("xb").close()
        probe.unlink()
    except OSError as error:
        raise _cannot_write(path, error) from error


def save_whole(data: bytes | Iterable[bytes | memoryview], path: Path, *, overwrite: bool) -> None:
    """Write beside the target, then move, so that nobody ever sees half a picture.

    Args:
        data: the content, whole or in parts.
        path: where to.
        overwrite: replace a file that is there.
    Raises:
        ImageError: a file is at `path` and `overwrite` is false, or the folder or the disk
            refuses; the temporary file is removed.
    """
    temporary = _temporary_name(path)
    try:
        with temporary.open("xb") as file:  # a new file has the mode that the umask leaves
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            temporary.replace(path.resolve())  # what a link points to, not the link
        else:
            _move_to_new(temporary, path)
    except FileExistsError as error:
        raise _already_there(path) from error
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _move_to_new(temporary: Path, path: Path) -> None:
    """Move, unless something is at `path` by now; a plain rename would replace it."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except (OSError, AttributeError, NotImplementedError):  # FAT, some networks, Android
        path.open("xb").close()  # takes the name, or fails because it is taken
        try:
            temporary.replace(path)
        except OSError:
            path.unlink()
            raise


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".reverie-{secrets.token_hex(6)}.part")


def _already_there(path: Path) -> ImageError:
    return ImageError(f"{path} is already there; choose another name or ask to overwrite it.")


def _cannot_write(path: Path, error: OSError) -> ImageError:
    if isinstance(error, PermissionError):
        return ImageError(f"{path} may not be written; choose another folder or name.")
    if isinstance(error, FileNotFoundError):
        return ImageError(f"the folder {path.parent} does not exist; create it first.")
    if error.errno in {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}:
        return ImageError(f"the disk is full and {path} was not written; free some space.")
    why = error.strerror or error
    return ImageError(f"{path} cannot be written ({why}); choose another folder or name.")
