"""Runs the whole suite on a machine with many cores and a GPU: a process for each file of tests.

    python tests/gpu/everything.py [--jobs N]

The longest begin first. What fails is printed as it ends, and at last how long all took.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

TESTS = Path(__file__).parents[1]
LONG = ("matrix", "gpu", "worker", "engine", "cli", "training", "networks", "third_party")
"""Folders in the order in which they begin."""
NOTHING = 5
"""What pytest returns where a file has no test to run."""


def main() -> None:
    """Run all, and end with 1 if one failed."""
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at once")
    words.add_argument("folders", nargs="*", type=Path, default=[TESTS], help="of tests")
    options = words.parse_args()
    files = [
        file for folder in options.folders for file in sorted(folder.resolve().rglob("test_*.py"))
    ]
    started, failed, passed = time.monotonic(), [], 0
    with ThreadPoolExecutor(options.jobs) as pool:
        runs = {pool.submit(_run, file): file for file in sorted(files, key=_rank)}
        for each in as_completed(runs):
            code, said, seconds = each.result()
            name = runs[each].relative_to(TESTS)
            _say(f"{seconds:6.1f} s  {name}: {said.strip().splitlines()[-1]}")
            passed += sum(map(int, re.findall(r"(\d+) passed", said)))
            if code not in {0, NOTHING}:
                failed.append(str(name))
                _say(said)
    took = time.monotonic() - started
    _say(f"\n{passed} passed in {took:.0f} s; failed: {', '.join(failed) or 'nothing'}")
    sys.exit(bool(failed))


def _rank(file: Path) -> int:
    folder = file.relative_to(TESTS).parts[0]
    return LONG.index(folder) if folder in LONG else len(LONG)


def _run(file: Path) -> tuple[int, str, float]:
    """Run one file: its code, what it said, and seconds."""
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=TESTS.parent,
    )
    return done.returncode, done.stdout, time.monotonic() - started


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
