"""Which picture goes where: names for dreams, chosen and checked before any work is done."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reverie.errors import ImageError
from reverie.picture import check_output, find_pictures, free_name

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, kw_only=True)
class Job:
    """One picture to dream on, and where its dream goes."""

    photo: Path
    """Only a name, where the dream starts without a picture."""
    out: Path
    is_exact: bool
    """The user named `out`, or allowed to replace it; else any free name like it will do."""
    replaces: bool = False
    """What is at `out` may be replaced."""
    is_blank: bool = False
    """There is no picture: the dream starts from nothing."""

    def place(self) -> Path:
        """Give the name to write now: a file that came in the meantime costs no dream."""
        return self.out if self.is_exact else free_name(self.out)


def plan(
    photos: Sequence[str],
    output: str | None,
    *,
    overwrite: bool,
    resume: bool = False,
    start: str = "",
) -> list[Job]:
    """List the pictures that a user means, and find a place for the dream of each.

    Args:
        photos: files, folders and patterns, as they were typed; none for a dream from nothing.
        output: a file to write, a folder, or None: beside each picture.
        overwrite: whether files that are there may be replaced.
        resume: whether what is there may be the dream itself, from an earlier run: then the same
            pictures get the same names again, whatever is there.
        start: what a dream from nothing starts with; it is named after that.
    Raises:
        ImageError: a picture is not there, or a dream could not be written or would replace a
            picture that is still to be dreamed on; with `resume`, two dreams want one name.
    """
    is_blank = not photos
    pictures = [Path(start)] if is_blank else find_pictures(map(user_path, photos))
    out = None if output is None else user_path(output)
    if out is not None and not os.path.isdir(out):  # noqa: PTH112 - Path's raises on long names
        if len(pictures) > 1 or str(output).endswith(("/", os.sep)):
            raise ImageError(
                f"{out} must be a folder that exists, for {len(pictures)} picture(s); "
                "create it first."
            )
        jobs = [
            Job(photo=pictures[0], out=out, is_exact=True, replaces=overwrite, is_blank=is_blank)
        ]
    else:
        taken: set[str] = set()
        jobs = [
            Job(
                photo=photo,
                out=_unused(_dream_name(photo, out), taken, overwrite=overwrite or resume),
                is_exact=overwrite or resume,
                replaces=overwrite,
                is_blank=is_blank,
            )
            for photo in pictures
        ]
        if resume:
            _refuse_numbers(jobs, out)
    for job in jobs:
        if not (resume and os.path.lexists(job.out)):  # compared later, when the recipe is known
            check_output(job.out, overwrite=overwrite)
    _spare_pictures(jobs)
    return jobs


def user_path(text: str) -> Path:
    """Give a path as it was typed: `~` is home, and `~$letter.jpg` a file with an odd name."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path's raises for users unknown


def _dream_name(photo: Path, folder: Path | None) -> Path:
    return (folder or photo.parent) / f"{photo.stem}.dream.png"


def _unused(path: Path, taken: set[str], *, overwrite: bool) -> Path:
    """Number a name until it is nobody's: photo.jpg and photo.png have two dreams."""
    candidate, number = path, 1
    while _key(candidate) in taken or (not overwrite and os.path.lexists(candidate)):
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    taken.add(_key(candidate))
    return candidate


def _refuse_numbers(jobs: Sequence[Job], folder: Path | None) -> None:
    """Refuse to resume with numbered names: another file more, and they are another picture's."""
    for job in jobs:
        name = _dream_name(job.photo, folder)
        if job.out != name:
            raise ImageError(
                f"{job.photo} and another picture would both be dreamed into {name}, and a resumed "
                "run could not tell them apart; dream them with two commands, into two folders."
            )


def _key(path: Path) -> str:
    return str(path.absolute()).casefold()  # Windows and macOS take Sky and sky for one


def _spare_pictures(jobs: Sequence[Job]) -> None:
    """Refuse to replace a picture of this batch by the dream of another."""
    if len(jobs) == 1:  # one picture, replaced by its own dream because the user said so
        return
    photos = {job.photo.resolve() for job in jobs}
    for job in jobs:
        if job.out.resolve() in photos:
            raise ImageError(
                f"{job.out} would be replaced by the dream of {job.photo}, and is to be dreamed on "
                "as well; dream on it alone, or choose another folder with --output."
            )
