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
WINDOWS = "gimp-3.0"
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
    seen = {Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[4], *folders}
    bound = [str(folder) for folder in sorted(seen) if not any(p in seen for p in folder.parents)]
    return ["unshare", "--mount", "bash", "-c", _ENTER, "-", str(ROOT), *bound, "--", *inside]


class RealGimp:
    """A GIMP that runs Python code one piece after the other.

    Args:
        profile: GIMP's folder for this user.
        work: a folder for what goes to and fro.
        display: the X display to show windows on; without one, there are none.
    """

    def __init__(self, profile: Path, work: Path, display: str = "") -> None:
        self._work = Path(tempfile.mkdtemp(dir=work))
        self._count = 0
        batch = f"folder = {str(self._work)!r}; exec(open({str(LISTENER)!r}).read())"
        self.log = self._work / "gimp.log"
        program = [WINDOWS, "-s"] if display else [PROGRAM, "-i"]
        options = ["-n", "-d", "-f", "--quit", "--batch-interpreter", "python-fu-eval", "-b", batch]
        extra = {"GIMP3_DIRECTORY": str(profile), **({"DISPLAY": display} if display else {})}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command([*program, *options], [work, profile], extra),
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


class Screen:
    """An X display that nobody sees, with a window manager, keys to press and pictures to take.

    Args:
        work: a folder for pictures.
    """

    def __init__(self, work: Path) -> None:
        self.display = f":{os.getpid() % 20000 + 100}"
        self._work = work
        words = ["Xvfb", self.display, "-screen", "0", "1280x900x24", "-nolisten", "tcp"]
        self._processes = [self._start(*words)]
        time.sleep(1)
        self._processes.append(self._start("openbox"))

    def _command(self, *words: str) -> list[str]:
        return command(words, [self._work], {"DISPLAY": self.display})

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        quiet = subprocess.DEVNULL
        return subprocess.Popen(self._command(*words), stdin=quiet, stdout=quiet, stderr=quiet)

    def has(self, title: str) -> bool:
        """Tell whether a window with exactly this title is shown."""
        return bool(self._do("search", "--onlyvisible", "--name", f"^{title}$"))

    def press(self, title: str, *keys: str) -> None:
        """Press keys in a window."""
        for _ in range(20):  # a search fails while another window, a tooltip say, vanishes
            if found := self._do("search", "--onlyvisible", "--name", f"^{title}$").split():
                break
            time.sleep(0.1)
        window = found[-1]
        self._do("windowfocus", "--sync", window, "key", "--delay", "50", *keys)

    def picture(self, name: str) -> Path:
        """Take a picture of the screen."""
        path = self._work / name
        subprocess.run(self._command("import", "-window", "root", str(path)), check=True)
        return path

    def _do(self, *words: str) -> str:
        done = subprocess.run(
            self._command("xdotool", *words), capture_output=True, text=True, check=False
        )
        return done.stdout

    def close(self) -> None:
        """Turn it off."""
        for process in reversed(self._processes):
            process.terminate()
            process.wait()
