"""`reverie worker`: dream for programs that cannot have PyTorch, as long as any come."""

from __future__ import annotations

import logging
import os
import signal
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

from reverie import __version__
from reverie.errors import WorkerError
from reverie.worker.health import is_older
from reverie.worker.knocking import ask, greet
from reverie.worker.place import LOG, make_folder, worker_folder
from reverie.worker.server import Server

if TYPE_CHECKING:
    import argparse

_log = logging.getLogger(__name__)

_LARGEST_LOG = 1_000_000
"""Bytes."""
_HANDOVER = 10.0
"""Seconds that an older worker may take to make room."""
_STARTING = 1.0
"""Seconds in which another worker that starts answers."""


def worker(options: argparse.Namespace) -> int:
    """Be the folder's worker, or leave that to one that lives there already."""
    folder = worker_folder() if options.at is None else Path(options.at).expanduser().absolute()
    make_folder(folder)
    server = Server(folder, idle=options.idle, device=options.device)
    if not _claim(server, folder):
        return 0
    _write_log(folder, verbose=options.verbose)
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: server.end())
    if not server.run():  # a step that takes long, or an import: neither can be interrupted
        logging.shutdown()
        os._exit(0)
    return 0


def _claim(server: Server, folder: Path) -> bool:
    """Take the folder; from a worker of an older release, too."""
    if server.claim():
        return True
    living = greet(folder)
    if living is None:  # it starts, or it ends
        return server.claim(_STARTING)
    if not is_older(living.reverie, __version__):
        _log.info("a worker lives in %s already, process %d", folder, living.pid)
        return False
    ask(folder, {"do": "retire"})
    if server.claim(_HANDOVER):
        return True
    raise WorkerError(
        f"the worker of reverie {living.reverie}, process {living.pid}, does not make room; end it."
    )


def _write_log(folder: Path, *, verbose: bool) -> None:
    handler = RotatingFileHandler(
        folder / LOG, maxBytes=_LARGEST_LOG, backupCount=1, encoding="utf-8", delay=True
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    logger = logging.getLogger("reverie")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = verbose and sys.stderr is not None  # to the terminal only if asked for
