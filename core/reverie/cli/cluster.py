"""`reverie dream --ray`: the same dreams on the machines of a Ray cluster, where one is too slow.

Files travel as bytes: this process reads each picture, a worker dreams, this process writes. So the
machines need no common disk, and each dream has one writer. Only pictures that are being dreamed
are in memory. Why Ray's actors and not Ray Data: docs/adr/0007.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
import sys
import warnings
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from tqdm import tqdm

from reverie import __version__
from reverie.cli.crew import Crew
from reverie.cli.resuming import left_to_do, sources
from reverie.cli.speech import say
from reverie.errors import ReverieError
from reverie.networks.weights import own_weights
from reverie.picture.files import save_whole

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from types import ModuleType

    from reverie.cli.dreaming import Work
    from reverie.cli.places import Job
    from reverie.recipe import Recipe

_LAYOUT = "dreaming {percentage:3.0f}% |{bar:24}| {n_fmt}/{total_fmt}, {elapsed}, {remaining} left"
_ANSWER = 5.0
"""Seconds in which a machine must answer; Ray itself would wait for minutes, and then exit."""
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""How HTTP/2, which Ray speaks, begins: preface and empty SETTINGS (RFC 9113, 3.4 and 6.5)."""
_SETTINGS = 4
"""The type of the frame with which a server must answer it."""


def require_ray() -> None:
    """Raise `ReverieError` if Ray is not installed, without loading it."""
    if find_spec("ray") is None:
        raise ReverieError('--ray needs Ray; install it with: pip install "reverie[ray]"')


def dream_on_cluster(
    jobs: Sequence[Job], work: Work, options: argparse.Namespace, recipe: Recipe
) -> int:
    """Dream on every picture that is left to do, on all machines of a cluster.

    Args:
        jobs: planned with `resume`.
        work: what all pictures share, as resolved on this machine.
        options: of the command line.
        recipe: as the user gave it. Where it leaves the precision to the device, the first worker
            that is ready decides for all pictures.
    Returns:
        0 if all pictures are dreamed, 1 if some could not be, 130 if the user stopped it.
    Raises:
        ReverieError: the cluster cannot be used, or is lost, or a fault holds for all pictures.
    """
    order = {
        "version": __version__,
        "recipe": work.recipe.evolve(precision=recipe.precision).to_json(),
        "digest": work.network.digest,
        "weights": _own_weights(recipe),
        "mask": work.mask,
        "guide": work.guide,
        "regions": [tuple(region) for region in work.regions],
        "device": options.device,
        "memory": work.memory,
        "threads": options.ray_cpus,
    }
    paths = sys.stdout
    asked_for = sources(options, [objective for _, objective in work.regions])
    with _connected(options.ray) as ray, Crew(ray, order, most=len(jobs)) as crew:
        resolved = work.recipe.evolve(precision=crew.precision())
        left = left_to_do(jobs, resolved, digest=work.network.digest, **asked_for)
        return _write_all(crew, left, resolved.precision, paths=paths, quiet=options.quiet)


def _own_weights(recipe: Recipe) -> tuple[str, bytes] | None:
    """Give name and bytes of the user's weights file: other machines do not have it."""
    file = recipe.network.partition(":")[2]
    return (Path(file).name, own_weights(file).read_bytes()) if file else None


@contextmanager
def _connected(address: str) -> Iterator[ModuleType]:
    """Join a cluster, or make one of this machine; leave it, or end it, afterwards."""
    _refuse_silence(address)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns about it
    own: dict[str, Any] = {}
    if address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports to its makers
        if os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
            # Ray listens on every network and runs what it is sent.
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        own = {"include_dashboard": False}
    nowhere = Path(os.devnull)
    with (
        warnings.catch_warnings(),
        nowhere.open("w", encoding="utf-8") as silence,
        redirect_stdout(silence),  # Ray tells there of workers it lost, whatever it is asked
    ):
        warnings.simplefilter("ignore")
        import ray

        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **own)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - Ray raises all kinds, and exits
            said = str(error).strip()
            if "Traceback" in said:  # a server's; it ends in the reason
                said = said.splitlines()[-1]
            why = " ".join(said.split())[:300].rstrip(".")
            raise ReverieError(
                f"the Ray cluster {address!r} cannot be used: {why}; give --ray auto, local, "
                "HOST:PORT or ray://HOST:PORT of a cluster that runs."
            ) from None
        try:
            yield ray
        finally:
            ray.shutdown()


def _refuse_silence(address: str) -> None:
    """Raise `ReverieError` if an address with a host and a port does not answer soon."""
    found = re.fullmatch(r"(?:ray://)?\[?([^\[\]/]+?)\]?:(\d{1,5})", address)
    if found is None:  # auto, local, or something that Ray explains better
        return
    try:
        with socket.create_connection((found[1], int(found[2])), timeout=_ANSWER) as server:
            if "RAY_USE_TLS" not in os.environ:
                server.sendall(_HELLO)
                frame = server.recv(9)  # length in 3 bytes, type, flags, stream in 4
            else:
                frame = bytes([0, 0, 0, _SETTINGS])
            why = "" if frame[3:4] == bytes([_SETTINGS]) else "something else is there"
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
    if why:
        raise ReverieError(
            f"no Ray cluster answers at {address} ({why}); start one with: ray start --head, or "
            "use this machine alone with: --ray local"
        )


def _write_all(
    crew: Crew, jobs: Sequence[Job], precision: str, *, paths: TextIO, quiet: bool
) -> int:
    """Write each dream as it comes; one that fails does not keep the others from being dreamed."""
    ended = failed = 0
    with tqdm(
        total=len(jobs),
        bar_format=_LAYOUT,
        disable=quiet or None,  # None: only on a terminal
        dynamic_ncols=True,
        leave=False,
        file=sys.stderr,
    ) as bar:
        try:
            for job, answer in crew.dreams(jobs, precision):
                failed += not _write(job, answer, paths)
                ended += 1
                bar.update()
        except KeyboardInterrupt:
            left = f"{len(jobs) - ended} of {len(jobs)} pictures are left"
            say(f"\nreverie: stopped; {left}; the same command goes on.", sys.stderr)
            return 130
    if failed and len(jobs) > 1:
        say(f"{failed} of {len(jobs)} pictures could not be dreamed.", sys.stderr)
    return 1 if failed else 0


def _write(job: Job, answer: dict[str, Any], paths: TextIO) -> bool:
    """Write one dream, or say what was wrong."""
    fault = answer.get("fault")
    if fault is None:
        for note in answer["notes"]:
            say(note, sys.stderr)
        try:
            save_whole(answer["data"], job.out, overwrite=job.replaces)
        except ReverieError as error:
            fault = str(error)
        else:
            say(str(job.out), paths)  # alone on its line, for programs that read on
            return True
    elif answer["for_all"]:
        raise ReverieError(fault)
    say(f"reverie: {fault}", sys.stderr)
    return False
