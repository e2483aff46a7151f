"""The node pack in a ComfyUI's custom_nodes, by both of the routes that users have."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]
KERNELS = ROOT / "core" / "reverie" / "engine" / "kernels"


def clone(base: Path) -> Path:
    """Put there what a clone would: the files that git knows, or would take."""
    target = base / "custom_nodes" / "reverie"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if not name.startswith(("tests/", "docs/")):  # saves seconds
            _copy(ROOT / name, target / name)
    # Git does not know the compiled kernels; a sum in another order may round to another byte.
    for kernels in KERNELS.glob("*.so"):
        _copy(kernels, target / kernels.relative_to(ROOT))
    return target


def _copy(file: Path, to: Path) -> None:
    if file.is_file():
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, to)


def install(base: Path) -> Path:
    """Put there what `reverie install comfyui` does."""
    (base / "custom_nodes").mkdir(parents=True, exist_ok=True)
    words = ["install", "comfyui", "--path", str(base)]
    done = subprocess.run(
        [sys.executable, "-m", "reverie", *words], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return base / "custom_nodes" / "reverie"
