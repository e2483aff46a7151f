"""How the command line speaks: sentences, tables, and a bar for downloads."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TextIO

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    from typing_extensions import Self


def say(text: str, stream: TextIO | None = None) -> None:
    """Write a line; a progress bar on the screen stays whole."""
    tqdm.write(text, file=stream or sys.stdout)


def table(rows: Iterable[Sequence[str]], heading: Sequence[str]) -> None:
    """Write rows in columns as wide as they need."""
    lines = [heading, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heading))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        say("  ".join(cells).rstrip())


class DownloadBar:
    """A progress bar that appears only if there is something to download."""

    def __init__(self, name: str, *, quiet: bool = False) -> None:
        self._name = name
        self._quiet = quiet
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, so_far: int, in_all: int | None) -> None:
        """Show how many bytes have come, of how many if the server says."""
        if self._bar is None:
            self._bar = tqdm(
                total=in_all,
                desc=f"downloading {self._name}",
                unit="B",
                unit_scale=True,
                disable=self._quiet or None,
            )
        bar = self._bar
        bar.update(so_far - bar.n)
