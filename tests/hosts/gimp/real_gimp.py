"""A real GIMP 3 that runs what tests say: this machine's own, or the one in the root of root.sh."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(
    os.environ.get("REVERIE_GIMP_ROOT", Path.home() / ".cache" / "reverie-tests" / "gimp-root")
)
PROGRAM = "gimp-console-3.0"
LISTENER = Path(__file__).with_name("in_gimp.py")
_ENTER = """
set -e
root=$1; shift
mount --bind /proc "$root/proc"; mount --bind /dev "$root/dev"
while [ "$1" != -- ]; do mkdir -p "$root$1"; mount --rbind "$1" "$root$1"; shift; done; shift
exec chroot "$root" "$@"
"""


def missing() -> str:
    """Say why no real GIMP can be run here; nothing if one can."""
    if shutil.which(PROGRAM):
        return ""
    if not (ROOT / "usr" / "bin" / PROGRAM).exists():
        return f"there is no {PROGRAM}, and none in {ROOT}; tests/hosts/gimp/root.sh makes it"
    return "" if os.getuid() == 0 else "the GIMP in a root of its own can be run by root only"


def command(words: Sequence[str], folders: Sequence[Path], extra: dict[str, str]) -> list[str]:
    """Give the command that runs `words` where GIMP is.

    Args:
        words: program and arguments.
        folders: what must be visible there, at the same place, besides Python and the package.
        extra: variables to set.
    """
    environment = {"HOME": str(folders[0]), "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", **extra}
    inside = ["env", "-i", *(f"{key}={value}" for key, value in environment.items()), *words]
    if shutil.which(PROGRAM):
        return inside
    # A mount namespace of its own: what is bound in is gone when GIMP ends.
    seen = {Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[3], *folders}
    bound = [str(folder) for folder in sorted(seen) if not any(p in seen for p in folder.parents)]
    return ["unshare", "--mount", "bash", "-c", _ENTER, "-", str(ROOT), *bound, "--", *inside]


class RealGimp:
    """A GIMP without windows, that runs Python code one piece after the other.

    Args:
        profile: GIMP's folder for this user.
        work: a folder for what goes to and fro.
    """

    def __init__(self, profile: Path, work: Path) -> None:
        self._work = Path(tempfile.mkdtemp(dir=work))
        self._count = 0
        batch = f"folder = {str(self._work)!r}; exec(open({str(LISTENER)!r}).read())"
        self.log = self._work / "gimp.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command(
                    [
                        PROGRAM,
                        "-n",
                        "-i",
                        "-d",
                        "-f",
                        "--quit",
                        "--batch-interpreter",
                        "python-fu-eval",
                        "-b",
                        batch,
                    ],
                    [work, profile],
                    {"GIMP3_DIRECTORY": str(profile)},
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def start(self, code: str) -> Path:
        """Let GIMP run code, and give the file that will hold its answer."""
        self._count += 1
        job = self._work / f"{self._count}.py"
        job.with_suffix(".new").write_text(code, "utf-8")
        job.with_suffix(".new").rename(job)
        return job.with_suffix(".json")

    def wait(self, answer: Path, patience: float = 60) -> Any:
        """Wait for an answer: what the code gave to `answer(...)`.

        Raises:
            AssertionError: the code failed, GIMP ended, or took too long.
        """
        until = time.monotonic() + patience
        while not answer.exists():
            assert self._process.poll() is None, f"GIMP ended:\n{self.log.read_text()}"
            assert time.monotonic() < until, f"GIMP took too long:\n{self.log.read_text()}"
            time.sleep(0.02)
        given = json.loads(answer.read_text("utf-8"))
        assert "failed" not in given, given.get("failed")
        return given["answer"]

    def run(self, code: str, patience: float = 60) -> Any:
        """Let GIMP run code, and give what it answers."""
        return self.wait(self.start(code), patience)

    def close(self) -> None:
        """Let GIMP end."""
        self.start("raise SystemExit")
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
