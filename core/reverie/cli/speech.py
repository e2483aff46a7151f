"""How the command line speaks: sentences, tables, the log, and a bar for downloads."""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    from typing_extensions import Self


def say(text: str, stream: TextIO | None = None) -> None:
    """Write a line now, for whoever reads a pipe; a progress bar on the screen stays whole."""
    stream = stream or sys.stdout
    tqdm.write(text, file=stream)
    stream.flush()


class SpokenLog(logging.Handler):
    """Says what the library logs, as everything else is said."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record to standard error."""
        say(self.format(record), sys.stderr)


def speak_any_name() -> None:
    """Let no file name, however odd, end a command because it cannot be printed.

    On Linux a name may be no text at all: it is given on byte for byte, so that pipes work.
    """
    errors = "surrogateescape" if os.name == "posix" else "backslashreplace"
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=errors)


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
        bar.total = in_all  # the first report comes before the server said how much there is
        bar.update(so_far - bar.n)
