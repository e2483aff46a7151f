"""The worker itself: greets whoever connects, gives each a thread, and ends when nobody comes."""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from reverie import __version__
from reverie.errors import ReverieError, WorkerError
from reverie.worker import answers
from reverie.worker.client import Client
from reverie.worker.engine import Engine
from reverie.worker.listening import HAS_UNIX_SOCKETS, open_door, widen
from reverie.worker.messages import PATIENCE, PROTOCOL, Channel, HungUp, ProtocolError
from reverie.worker.order import read_order
from reverie.worker.place import CARD, LOCK, Card, make_folder, write_card
from reverie.worker.room import Room
from reverie.worker.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reverie.worker.listening import Door

_log = logging.getLogger(__name__)

IDLE = 900.0
"""Seconds without a connection after which a worker ends."""
MOST_CONNECTIONS = 32
LAST_STEP = 5.0
"""Seconds that jobs have to notice that the worker ends."""
_POLL = 0.05
"""Seconds between two tries to take the lock, and after a connection that could not be taken."""


class Server:
    """A worker in a folder.

    Args:
        folder: made if need be, for this user alone.
        idle: seconds without a connection after which it ends.
        device: where to dream, as the command line takes it.
        by_network: listen on the loopback address, as on Windows.
        patience: seconds to wait for a client that should send.
    """

    def __init__(
        self,
        folder: Path,
        *,
        idle: float = IDLE,
        device: str = "auto",
        by_network: bool = not HAS_UNIX_SOCKETS,
        patience: float = PATIENCE,
    ) -> None:
        self._folder = folder
        self._idle = idle
        self._device = device
        self._by_network = by_network
        self._patience = patience
        # Another thread than the one that took the lock may give it back.
        self._file_lock = FileLock(folder / LOCK, thread_local=False)
        self._lock = threading.Lock()
        self._visits: dict[socket.socket, threading.Thread] = {}
        self._last_visit = time.monotonic()
        self._jobs = 0
        self._used_device: str | None = None
        self._door: Door | None = None
        self._is_here = False
        self._is_closing = False
        """It ends when everybody has gone."""
        self._is_retired = False
        """It takes no new jobs."""
        self._is_ending = threading.Event()
        self._turns = Turns()
        self._room = Room()
        self._engine = Engine(device)
        self._ring: socket.socket | None = None

    def claim(self, patience: float = 0.0) -> bool:
        """Become the folder's only worker, unless within these seconds another one stays it.

        Raises:
            WorkerError: the folder cannot be used.
        """
        make_folder(self._folder)
        try:
            self._file_lock.acquire(timeout=patience, poll_interval=_POLL)
        except Timeout:
            return False
        except OSError as error:
            raise WorkerError(
                f"{self._folder / LOCK} cannot be locked ({error.strerror or error}); "
                "choose a folder on a local disk with --at."
            ) from error
        (self._folder / CARD).unlink(missing_ok=True)  # of one that was killed
        self._is_here = True
        return True

    def run(self) -> bool:
        """Listen until nobody comes any more; `claim` comes first.

        Returns:
            False if something still runs that will not hear that the worker ends.
        """
        try:
            door = self._door = open_door(self._folder, by_network=self._by_network)
            card = Card(__version__, PROTOCOL, os.getpid(), door.address, door.token)
            write_card(self._folder, card)
            _log.info("reverie %s listens at %s, process %d", *_facts(card))
            self._engine.load()
            self._listen(door)
        finally:
            self._leave()
            self._turns.close()
            if self._door is not None:
                self._door.link.close()
        is_quiet = self._see_off()
        _log.info("the worker ends")
        return is_quiet and not self._engine.is_busy

    def _see_off(self) -> bool:
        """Wait for jobs to notice that the worker ends, then hang up; tell if all are gone."""
        until = time.monotonic() + LAST_STEP
        while self._jobs and time.monotonic() < until:
            time.sleep(_POLL)
        left = list(self._visits.items())
        for visitor, _ in left:
            with suppress(OSError):
                visitor.shutdown(socket.SHUT_RD)
        for _, thread in left:
            thread.join(max(_POLL, until - time.monotonic()))
        return not self._visits

    def end(self) -> None:
        """End now, jobs after their step; a signal's handler may call this."""
        self._is_ending.set()
        self._wake()

    def retire(self) -> None:
        """Make room for another worker at once; end when all jobs are done."""
        self._is_retired = self._is_closing = True
        self._leave()
        self._wake()

    def _leave(self) -> None:
        """Be found no more; once, because soon another's files are there."""
        with self._lock:
            was_here, self._is_here = self._is_here, False
        if was_here:
            (self._folder / CARD).unlink(missing_ok=True)
            if self._door is not None:
                self._door.withdraw()
            self._file_lock.release()

    def _wake(self) -> None:
        if self._ring is not None:
            with suppress(OSError):  # it has rung already, or nobody listens any more
                self._ring.send(b".")

    def _listen(self, door: Door) -> None:
        bell, self._ring = socket.socketpair()
        self._ring.setblocking(False)
        with bell, self._ring, selectors.DefaultSelector() as selector:
            selector.register(bell, selectors.EVENT_READ)
            selector.register(door.link, selectors.EVENT_READ)
            while not self._is_over():
                for key, _ in selector.select(self._time_left()):
                    if key.fileobj is bell:
                        bell.recv(4096)
                    else:
                        self._admit(door)
                if self._time_left() == 0:
                    self._is_closing = True
                    self._leave()
                    while self._admit(door):  # who knocked while it left is served
                        pass

    def _is_over(self) -> bool:
        return self._is_ending.is_set() or (self._is_closing and not self._visits)

    def _time_left(self) -> float | None:
        """Seconds until the worker has been idle for too long; None while somebody is here."""
        if self._visits:
            return None
        return max(0.0, self._last_visit + self._idle - time.monotonic())

    def _admit(self, door: Door) -> bool:
        """Let one visitor in; tell whether there was one."""
        try:
            visitor, _ = door.link.accept()
        except BlockingIOError:
            return False
        except OSError:
            _log.exception("a connection could not be taken")
            time.sleep(_POLL)
            return False
        if not door.admits(visitor):
            _log.warning("another user was refused")
            visitor.close()
        elif len(self._visits) >= MOST_CONNECTIONS:
            self._turn_away(visitor)
        else:
            thread = threading.Thread(
                target=self._serve, args=(visitor, door), name="serves", daemon=True
            )
            self._visits[visitor] = thread
            thread.start()
        return True

    def _turn_away(self, visitor: socket.socket) -> None:
        channel = Channel(visitor, patience=_POLL)
        with suppress(HungUp):
            channel.send(_greeting())
            _refuse(
                channel,
                WorkerError(f"{MOST_CONNECTIONS} programs are connected; try again later."),
            )
        visitor.close()

    def _serve(self, visitor: socket.socket, door: Door) -> None:
        """Do one visitor's job, whatever becomes of it."""
        widen(visitor)
        channel = Channel(visitor, patience=self._patience)
        try:
            channel.send(_greeting())
            self._answer(channel, channel.receive(), door)
        except HungUp as reason:
            _log.info("a client is gone: %s", reason)
        except Exception as error:  # noqa: BLE001 - the worker lives on
            with suppress(HungUp):
                _refuse(channel, error)
        finally:
            channel.close()
            with self._lock:
                del self._visits[visitor]
                self._last_visit = time.monotonic()
            self._wake()

    def _answer(self, channel: Channel, request: dict[str, Any], door: Door) -> None:
        if not door.knows(request):
            raise ProtocolError("token: the request does not carry that of worker.json.")
        what = request.get("do")
        if what == "dream":
            self._dream(channel, request)
        elif what == "catalogue":
            self._engine.wait(Client(channel).listen)
            channel.send(answers.catalogue())
        elif what == "layers":
            self._engine.wait(Client(channel).listen)
            channel.send(answers.layers(request))
        elif what == "status":
            channel.send(self._status())
        elif what == "retire":
            _log.info("the worker retires")
            self.retire()
            channel.send({"retiring": True})
        else:
            raise ProtocolError(
                f"do: {what!r:.40} is not one of dream, catalogue, layers, status, retire."
            )

    def _status(self) -> dict[str, Any]:
        others = len(self._visits) - 1
        return answers.status(
            jobs=self._jobs,
            waiting=self._turns.waiting,
            idle_seconds=0.0 if others else time.monotonic() - self._last_visit,
            device=self._used_device,
        )

    def _dream(self, channel: Channel, request: dict[str, Any]) -> None:
        if self._is_retired:
            raise WorkerError("this worker takes no new jobs; connect again.")
        order = read_order(request)
        client = Client(channel)
        self._engine.wait(client.listen)
        from reverie.device import choose_device
        from reverie.worker.job import serve_dream

        with self._counted():
            start, device = time.monotonic(), choose_device(self._device)
            self._used_device = str(device)
            serve_dream(
                client,
                order,
                device=device,
                turns=self._turns,
                room=self._room,
                is_ending=self._is_ending,
            )
            _log.info(
                "dreamed on %d x %d px with %s in %.2f s",
                order.select.width,
                order.select.height,
                order.recipe.network,
                time.monotonic() - start,
            )

    @contextmanager
    def _counted(self) -> Iterator[None]:
        from reverie.engine.canvas import trim

        with self._lock:
            self._jobs += 1
        try:
            yield
        finally:
            with self._lock:
                self._jobs -= 1
            trim()


def _facts(card: Card) -> tuple[object, ...]:
    return card.reverie, card.address, card.pid


def _greeting() -> dict[str, Any]:
    return {"reverie": __version__, "protocol": PROTOCOL, "pid": os.getpid()}


def _refuse(channel: Channel, error: Exception) -> None:
    """Say why something cannot be done; what nobody foresaw is logged in full."""
    if isinstance(error, ReverieError):
        _log.info("refused: %s", error)
        channel.send({"error": str(error), "kind": type(error).__name__})
        return
    _log.error("a job failed", exc_info=error)
    if _is_out_of_memory(error):
        sentence = (
            "there is not enough memory for this picture; select less, or set a smaller size."
        )
        channel.send({"error": sentence, "kind": "WorkerError"})
        return
    sentence = f"reverie failed ({type(error).__name__}: {error}); the worker's log has more."
    channel.send({"error": sentence, "kind": "Crash"})


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, RuntimeError):  # PyTorch's, which is loaded then
        from reverie.device import says_out_of_memory

        return says_out_of_memory(error)
    return isinstance(error, MemoryError)
