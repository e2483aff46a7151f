"""Runs the command line in a process of its own and notes when its steps ended.

As a program, `watched.py FILE WORDS...` is `reverie WORDS...`, which also writes to FILE the times
of its steps.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@dataclass(frozen=True)
class Watched:
    """What a command took."""

    seconds: float
    """From its start to its end, Python's own start included."""
    steps: list[float]
    """When each step ended, in seconds from the start."""
    peak_mb: float
    """The most memory that it held, in MB of 2**20 bytes; 0 where the system does not tell."""


def watch(words: Sequence[str]) -> Watched:
    """Run `reverie WORDS...`.

    Raises:
        SystemExit: it failed; it has said why.
    """
    with tempfile.TemporaryDirectory() as folder:
        marks = Path(folder, "marks.json")
        started = time.time()
        seconds, peak = run([sys.executable, __file__, str(marks), *words])
        ends = json.loads(marks.read_text(encoding="ascii"))
    return Watched(seconds, [end - started for end in ends], peak)


def run(command: Sequence[str]) -> tuple[float, float]:
    """Seconds that a command takes, and its peak memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0.0
    if hasattr(os, "wait4"):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    if process.wait():
        sys.exit(f"{' '.join(command)} ended with {process.returncode}.")
    return time.perf_counter() - started, peak


def main() -> None:
    """Put a clock beside the progress bar, which is what hears of steps first."""
    from reverie.cli import main as reverie
    from reverie.cli import progress as bars

    ends: list[float] = []
    progress = bars.progress

    @contextmanager
    def clocked(*arguments: Any, **options: Any) -> Iterator[Callable[[Any], None]]:
        with progress(*arguments, **options) as on_step:

            def hear(step: Any) -> None:
                ends.append(time.time())
                on_step(step)

            yield hear

    bars.progress = clocked
    code = reverie(sys.argv[2:])
    Path(sys.argv[1]).write_text(json.dumps(ends), encoding="ascii")
    sys.exit(code)


if __name__ == "__main__":
    main()
