"""PyTorch and what dreams, loaded in the background: the worker greets before they are there."""

from __future__ import annotations

import logging
import threading
import time
from importlib import import_module
from typing import TYPE_CHECKING

from reverie.errors import WorkerError
from reverie.networks.quick_import import import_torchvision

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)

_TICK = 0.05
"""Seconds between two looks at what waits."""


class Engine:
    """Tells when the engine can be imported without waiting.

    Args:
        device: where to dream, as the command line takes it.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._is_loaded = threading.Event()
        self._fault = ""
        self._thread = threading.Thread(target=self._load, name="loads", daemon=True)

    def load(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """It is being loaded."""
        return self._thread.is_alive()

    def wait(self, meanwhile: Callable[[], None]) -> None:
        """Return when the engine is there; until then call this often.

        Raises:
            WorkerError: it cannot be loaded.
        """
        while not self._is_loaded.wait(_TICK):
            meanwhile()
        if self._fault:
            raise WorkerError(self._fault)

    def _load(self) -> None:
        start = time.monotonic()
        try:
            job = import_module("reverie.worker.job")
        except Exception as error:  # noqa: BLE001 - whatever it is, every job has to hear of it
            _log.exception("the engine cannot be loaded")
            self._fault = f"PyTorch cannot be loaded ({error}); run: reverie doctor"
        else:
            import_torchvision(alone=True)  # jobs, which import as well, wait for what follows
            _log.info("the engine was loaded in %.1f s", time.monotonic() - start)
            self._is_loaded.set()
            job.warm_up(self._device)
        finally:
            self._is_loaded.set()
