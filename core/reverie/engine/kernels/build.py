"""Builds the compiled kernels, when asked to.

`python -m reverie.engine.kernels.build` asks, and so does `pip install` (core/build_kernels.py);
a dream never compiles. This file needs the standard library alone, because an installation has no
more.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("kernels.c")
_FLAGS = (
    "-O3",
    "-std=gnu11",
    "-fPIC",
    "-fvisibility=hidden",
    "-fopenmp-simd",  # what the loops say to the vectorizer; it brings no OpenMP runtime
    "-fno-math-errno",
    "-fno-trapping-math",
)
_VARIANTS: dict[str, tuple[str, ...]] = {
    "base": ("-DCHOOSES",),
    "v3": ("-march=x86-64-v3",),
    "v4": ("-march=x86-64-v4", "-mprefer-vector-width=512"),
}
"""Levels of the processor; the library has them all and chooses when it is loaded."""
_PATIENCE = 600
"""Seconds after which a compiler is given up."""


class BuildError(Exception):
    """No library could be built; the sentence says why."""


def find() -> Path | None:
    """Find the library that was built of this very source, if there is one."""
    return next((path for path in _places() if path.is_file()), None)


def _places() -> list[Path]:
    """Where a library may lie, first beside its source."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    name = library_name()
    return [SOURCE.with_name(name), Path(cache, "reverie", "kernels", name).expanduser()]


def library_name() -> str:
    """Name the library after what it is made of, so that an older one is never taken for it."""
    made_of = (*_FLAGS, *map(repr, _VARIANTS.items()), sys.platform, platform.machine())
    digest = hashlib.sha256(SOURCE.read_bytes() + "\n".join(made_of).encode())
    return f"kernels-{digest.hexdigest()[:16]}{'.dll' if sys.platform == 'win32' else '.so'}"


def build(folder: Path | None = None) -> Path:
    """Build the library; an interrupted build leaves nothing that could be loaded.

    Args:
        folder: where to; by default beside the source, or into the user's cache folder where that
            cannot be written to.
    Raises:
        BuildError: there is no C compiler, it fails, or there is no room.
    """
    places = _places() if folder is None else [folder / library_name()]
    compiler = _compiler()
    try:
        with tempfile.TemporaryDirectory(prefix="reverie-kernels-") as scratch:
            built = _link(compiler, _compile(compiler, Path(scratch)), Path(scratch))
            return _put(built, places)
    except OSError as error:
        raise BuildError(f"the library could not be written: {error}.") from error


def _compiler() -> list[str]:
    named = shlex.split(os.environ.get("CC", ""))
    for words in (named,) if named else (["cc"], ["gcc"], ["clang"]):
        path = shutil.which(words[0])
        if path is not None:
            return [path, *words[1:]]
    raise BuildError(
        f"{named[0]!r} of $CC was not found; correct it, or unset it to try cc, gcc and clang."
        if named
        else "no C compiler was found; install gcc or clang, or name one in $CC."
    )


def _compile(compiler: list[str], scratch: Path) -> list[Path]:
    """Compile all variants side by side; a compiler may not know the faster ones."""
    running = {}
    for variant, flags in _VARIANTS.items():
        if variant == "base" or platform.machine().lower() in {"x86_64", "amd64"}:
            target = scratch / f"{variant}.o"
            command = [*compiler, *_FLAGS, *flags, f"-DVARIANT={variant}"]
            running[target] = subprocess.Popen(  # noqa: S603 - the user's own compiler
                [*command, "-c", str(SOURCE), "-o", str(target)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
    failures = {target: _failure(process) for target, process in running.items()}
    if base := failures[scratch / "base.o"]:
        raise BuildError(f"{compiler[0]} failed: {base}")
    return [target for target, failure in failures.items() if not failure]


def _failure(process: subprocess.Popen[str]) -> str:
    """Wait for a compiler; the last line of what it complained of, if it failed."""
    try:
        _, complaint = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f"not done after {_PATIENCE} s."
    if process.returncode == 0:
        return ""
    errors = [line for line in complaint.splitlines() if "error" in line]
    return next(iter(errors or complaint.splitlines()), f"exit status {process.returncode}")


def _link(compiler: list[str], objects: list[Path], scratch: Path) -> Path:
    target = scratch / "library"
    process = subprocess.Popen(  # noqa: S603 - the user's own compiler
        [*compiler, "-shared", *map(str, objects), "-o", str(target)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    if failure := _failure(process):
        raise BuildError(f"{compiler[0]} could not link: {failure}")
    return target


def _put(built: Path, places: list[Path]) -> Path:
    """Copy the library to the first place that can be written to, whole or not at all."""
    for place in places:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=place.parent, prefix=".kernels-")
        except OSError:
            if place == places[-1]:
                raise
            continue
        os.close(handle)
        try:
            shutil.copyfile(built, name)
            Path(name).chmod(0o755)
            Path(name).replace(place)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
        return place
    raise BuildError("there is no place for the library.")


def main() -> int:
    """Build, and say in one sentence how it went."""
    try:
        path = build()
    except BuildError as error:
        sys.stderr.write(f"The kernels were not compiled, dreams stay slower: {error}\n")
        return 1
    sys.stdout.write(f"The kernels are compiled: {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
