"""`reverie doctor`: what is wrong with this installation, each fault with its remedy."""

from __future__ import annotations

import platform
import sys
import tempfile
from importlib import metadata
from typing import TYPE_CHECKING

from reverie import __version__
from reverie.cli.speech import say
from reverie.errors import ReverieError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

FAULT = "FAULT  "
FINE = "ok     "
_ANEW = "reinstall reverie, and report it if that does not help"


def doctor(_options: argparse.Namespace) -> int:
    """Check everything, say what was found, and end with 1 if anything is wrong."""
    say(f"{FINE}reverie {__version__}, Python {platform.python_version()}, {sys.executable}")
    faults: set[str] = set()
    for check in _checks():
        for line in _results(check):
            if line in faults:  # one fault is found by several checks
                continue
            if line.startswith(FAULT):
                faults.add(line)
            say(line)
    say(f"\n{len(faults)} fault(s) found." if faults else "\nAll is well.")
    return 1 if faults else 0


def _checks() -> tuple[Callable[[], Iterator[str]], ...]:
    return (
        *(_libraries, _device, _kernels, _embedded),
        *(_plugins, _hosts, _worker, _weights_folder),
    )


def _results(check: Callable[[], Iterator[str]]) -> Iterator[str]:
    try:
        yield from check()
    except ReverieError as error:  # its sentence says what to do
        yield f"{FAULT}{error}"
    except Exception as error:  # noqa: BLE001 - a doctor must not fall ill
        yield f"{FAULT}{check.__name__.strip('_')}: {type(error).__name__}: {error}; {_ANEW}"


def _libraries() -> Iterator[str]:
    from packaging.requirements import Requirement

    for requirement in map(Requirement, metadata.requires("reverie") or ()):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        name, wanted = requirement.name, requirement.specifier
        remedy = f'run: pip install "{name}{wanted}"'
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield f"{FAULT}{name} is not installed; {remedy}"
        else:
            if wanted.contains(version, prereleases=True):
                yield f"{FINE}{name} {version}"
            else:
                yield f"{FAULT}{name} {version} is installed, {wanted} is needed; {remedy}"
    try:
        import torchvision  # noqa: F401 - a mismatch with torch shows only on import
    except (ImportError, RuntimeError, OSError) as error:
        yield (
            f"{FAULT}torchvision does not fit torch ({error}); "
            "run: pip install --upgrade torch torchvision"
        )


def _device() -> Iterator[str]:
    from reverie.device import choose_device, choose_precision

    device = choose_device("auto")
    yield f"{FINE}dreams on {device} in {choose_precision('auto', device)}"


def _kernels() -> Iterator[str]:
    from reverie.engine.kernels import describe

    yield f"{FINE}{describe()}"


def _embedded() -> Iterator[str]:
    import torch

    from reverie import Recipe, dream

    grey = torch.full((1, 3, 64, 64), 0.5)
    grey[:, :, 16:48, 16:48] = 0.8
    dreamed = dream(grey, Recipe(octaves=1, steps=2), device="cpu")
    if torch.equal(dreamed, grey):
        yield f"{FAULT}the embedded network does not change a picture; {_ANEW}"
    else:
        yield f"{FINE}the embedded network dreams"


def _weights_folder() -> Iterator[str]:
    from reverie.networks.weights import weights_folders

    folder = weights_folders()[0]
    try:
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        tempfile.TemporaryFile(dir=existing).close()  # permissions alone do not tell
    except OSError as error:
        yield (
            f"{FAULT}weights cannot be written to {folder} ({error.strerror}); "
            "set REVERIE_WEIGHTS to a folder that you may write to"
        )
    else:
        yield f"{FINE}weights are kept in {folder}"


def _plugins() -> Iterator[str]:
    from reverie.plugins import registry

    found = registry()
    for collect in (
        found.networks,
        found.objectives,
        found.parameterizations,
        found.presets,
        found.hosts,
    ):
        collect()
    for sentence in found.broken.values():
        yield f"{FAULT}{sentence}; upgrade or uninstall it"
    others = sorted({origin for origin in found.origins.values() if origin != "reverie"})
    yield f"{FINE}plug-ins: {', '.join(others) or 'none but the built-in ones'}"


def _worker() -> Iterator[str]:
    from reverie.worker import examine
    from reverie.worker.place import worker_folder

    yield from (f"{FAULT}{fault}" for fault in examine(worker_folder()))


def _hosts() -> Iterator[str]:
    from reverie.plugins import registry

    for host in registry().hosts().values():
        try:
            for fault in host.doctor() if host.doctor else ():
                yield f"{FAULT}{host.name}: {fault}"
        except Exception as error:  # noqa: BLE001 - a sick host does not hide the others' faults
            origin = registry().origins[type(host), host.name]
            yield (
                f"{FAULT}{host.name}: its own check failed ({type(error).__name__}: {error}); "
                f"upgrade or uninstall the plug-in {origin!r}"
            )
