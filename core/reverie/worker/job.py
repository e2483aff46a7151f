"""One dream for a client: what it wants is loaded, its pixels come, are dreamed on, and go back."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from concurrent.futures import CancelledError, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from reverie.device import choose_device
from reverie.engine.canvas import LARGE, bands, belongs_in_file, copied
from reverie.engine.dream import dream
from reverie.engine.frames import Frames
from reverie.engine.guiding import guided
from reverie.engine.octaves import resize
from reverie.engine.prepare import kept_by, prepare, resolve
from reverie.engine.regions import kept_by_regions, look_at_guide, recipes_of, together
from reverie.engine.selection import select
from reverie.engine.wrapping import Wraps, wraps_of
from reverie.errors import Cancelled, WorkerError
from reverie.image import to_mask
from reverie.networks.loading import load_network
from reverie.picture import read_picture
from reverie.recipe import Recipe
from reverie.record import write_record
from reverie.worker.messages import HungUp
from reverie.worker.outbox import Outbox
from reverie.worker.pace import Pace
from reverie.worker.part import find_part
from reverie.worker.upload import Upload, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    import numpy as np
    from torch import Tensor

    from reverie.engine.dream import Step
    from reverie.engine.prepare import Climb
    from reverie.engine.regions import Region
    from reverie.networks.loading import LoadedNetwork
    from reverie.worker.client import Client
    from reverie.worker.messages import Channel
    from reverie.worker.order import Order
    from reverie.worker.part import Part
    from reverie.worker.room import Room
    from reverie.worker.turns import Turns

_log = logging.getLogger(__name__)

_TICK = 0.05
"""Seconds between two looks at a client while nothing is to be told."""
_BETWEEN_FRAMES = 0.2
"""Seconds."""
_UPLOADED = 17
"""Bytes of a px that a client sent: colours, alpha, mask."""


_PREPARING = threading.Lock()
"""Held while a network is made ready outside of the dreaming thread."""


@dataclass(frozen=True)
class Dreamed:
    """A dream, whole or as far as the client let it come."""

    pixels: Tensor
    """The part, (1, 3, H, W) in 0..1."""
    done: float


def warm_up(device: str) -> None:
    """Make ready what most jobs want, so that the first one does not wait for it."""
    try:
        where = choose_device(device)
        if where.type == "cpu":  # a GPU's memory is taken only when there is something to do
            with _PREPARING:
                prepare(Recipe(), where)
    except Exception as error:  # noqa: BLE001 - the first job will meet it, and be told
        _log.warning("nothing was made ready: %s", error)


def serve_dream(
    client: Client,
    order: Order,
    *,
    device: torch.device,
    turns: Turns,
    room: Room,
    is_ending: threading.Event,
) -> None:
    """Do one job.

    Args:
        client: it has sent its request.
        order: which was this.
        device: where to dream.
        turns: of all jobs.
        room: that they share.
        is_ending: set when the worker has to end at once.
    Raises:
        HungUp: the client wants no more.
        ReverieError: the job cannot be done.
    """
    channel = client.channel
    for notice in order.notices:
        channel.send({"notice": notice})
    guide = None if order.guide is None else read_picture(order.guide).values
    network = _load(client, order.recipe.network)
    others = recipes_of(order.recipe, [(None, each) for each in order.regions])
    if guide is not None and not look_at_guide(others):
        order = replace(order, recipe=guided(order.recipe))
    climb = _prepare([order.recipe, *others], device, has_guide=guide is not None)
    # A guide is laid over the whole picture, of which a part would not tell the size.
    part = find_part(order, None if climb.lays_guide else climb.margin, climb.stride)
    with room.take(part.area + (0 if guide is None else guide.shape[0] * guide.shape[1])):
        memory = _memory(order, part, climb, device)
        upload = _receive(channel, order, part, memory)
        job = _Dreaming(client, order, part, upload, guide, climb, device, memory, is_ending)
        future = turns.take(job.run)
        _follow(job, future, turns)
        try:
            dreamed = future.result()
        except CancelledError:
            raise WorkerError("the worker was ended before this dream's turn came.") from None
        record = _record(order, others, network, device, dreamed)
        _send_result(channel, order, part, upload, dreamed, record)


def _load(client: Client, name: str) -> LoadedNetwork:
    """Load a network, perhaps from far away; a client that hangs up ends the download."""
    told = -math.inf

    def on_progress(so_far: int, in_all: int | None) -> None:
        nonlocal told
        client.listen()
        if time.monotonic() - told >= _BETWEEN_FRAMES or so_far == in_all:
            told = time.monotonic()
            client.channel.send({"fetching": name, "so_far": so_far, "in_all": in_all})

    return load_network(name, on_progress=on_progress)


def _prepare(recipes: Sequence[Recipe], device: torch.device, *, has_guide: bool) -> Climb:
    """Prepare a recipe, and what it becomes in each region: what both need to see of a picture."""
    with _PREPARING:
        climbs = [prepare(recipe, device) for recipe in recipes]
    for climb in climbs:
        if not has_guide:
            climb.refuse_without_guide()
    return together(climbs)


def _memory(order: Order, part: Part, climb: Climb, device: torch.device) -> int | None:
    """Bytes to work in: no limit for what fits into half of this machine's memory."""
    if device.type != "cpu" or not hasattr(os, "sysconf"):
        return None
    half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    pixels = part.size[0] * part.size[1]
    shape = (1, 3, *part.size)
    needed = kept_by(climb.recipe, climb.space, shape, in_file=False)
    needed += kept_by_regions(len(order.regions), shape, in_file=False)
    needed += min(pixels, LARGE) * climb.footprint
    sent = part.area * (_UPLOADED + len(order.regions))
    return None if needed + sent <= half else half


def _receive(channel: Channel, order: Order, part: Part, memory: int | None) -> Upload:
    """Say what to send, and take it."""
    box = part.box
    shape = (1, 3, box.height, box.width)
    upload = Upload(
        box.height, box.width, in_file=belongs_in_file(shape, memory, torch.device("cpu"))
    )
    channel.send({"send": box.as_list(), "rows": rows_of(box.width)})
    upload.receive(channel)
    if order.has_mask:
        upload.receive_mask(channel, part.chosen)
    elif not order.is_whole:
        upload.choose(part.chosen)
    for _ in order.regions:
        upload.receive_region(channel)
    return upload


class _Dreaming:
    """The dream itself, in the thread in which all dreams take turns."""

    def __init__(
        self,
        client: Client,
        order: Order,
        part: Part,
        upload: Upload,
        guide: np.ndarray[Any, Any] | None,
        climb: Climb,
        device: torch.device,
        memory: int | None,
        is_ending: threading.Event,
    ) -> None:
        self.client = client
        self.outbox = Outbox()
        self.is_abandoned = threading.Event()
        self._order = order
        self._part = part
        self._upload = upload
        self._guide = guide
        self._climb = climb
        self._device = device
        self._memory = memory
        self._is_ending = is_ending
        self._frames: Frames | None = None
        self._framed = -math.inf
        self._pace = Pace()

    def run(self) -> Dreamed:
        """Dream on the part.

        Raises:
            HungUp: nobody wants it any more.
            ReverieError: it cannot be dreamed.
        """
        try:
            with _warnings_to(self.outbox):
                return self._run()
        finally:
            self.outbox.close()

    def _run(self) -> Dreamed:
        self._check()
        with torch.no_grad():
            wraps = wraps_of(self._order.recipe.edges)
            pixels = resize(self._upload.pixels, self._part.size, wraps=wraps)
            mask = None if self._upload.mask is None else self._upload.mask.float() / 255
            if self._order.frames:
                self._frames = self._make_frames(pixels, mask)
        recipe, done = self._order.recipe.evolve(size=0), 1.0
        try:
            dreamed = dream(
                pixels,
                recipe,
                mask=mask,
                guide=self._guide,
                regions=self._regions(),
                device=self._device,
                memory=self._memory,
                on_step=self._on_step,
                on_tile=self._check,
            )
        except Cancelled as stopped:
            dreamed, done = stopped.image, stopped.done
        if self._part.is_scaled:
            gone = None
            if recipe.start != "picture":
                everywhere = self._upload.pixels.new_ones(()).expand(self._upload.pixels.shape[2:])
                gone = (everywhere if mask is None else mask)[None, None]
            dreamed = _lay_on(self._upload.pixels, dreamed, pixels, wraps, gone=gone)
        return Dreamed(dreamed, done)

    def _regions(self) -> list[Region]:
        masks = (mask.float() / 255 for mask in self._upload.regions)
        return list(zip(masks, self._order.regions, strict=True))

    def _make_frames(self, pixels: Tensor, mask: Tensor | None) -> Frames:
        """Frames show what was selected, of which the engine may see more or less."""
        climb = self._climb
        where = None if mask is None else to_mask(mask, pixels)
        area = select(pixels, where, climb.margin, climb.stride)
        chosen, size, box = self._part.chosen, self._part.size, self._part.box
        rows = _scaled(chosen.rows, size[0] / box.height, size[0])
        columns = _scaled(chosen.columns, size[1] / box.width, size[1])
        return Frames(area, (rows, columns), self._order.frames, climb.smallest_side)

    def _check(self) -> None:
        if self.is_abandoned.is_set():
            raise HungUp("it hung up while it was dreamed for")
        if self._is_ending.is_set():
            raise WorkerError("the worker was ended while it dreamed.")

    def _on_step(self, step: Step) -> None:
        self._check()
        now, is_last = time.monotonic(), step.done >= 1 or self.client.wants_stop.is_set()
        left = self._pace.seconds_left(step.done, now)
        value = step.value
        message: dict[str, Any] = {
            "octave": step.octave,
            "octaves": step.octaves,
            "step": step.step,
            "steps": step.steps,
            "done": step.done,
            "seconds_left": None if left is None else round(left, 2),
            "objective": value if math.isfinite(value) else None,
        }
        frame = b""
        is_due = now - self._framed >= _BETWEEN_FRAMES and not self.outbox.has_frame
        if self._frames is not None and (is_due or is_last):
            self._framed = now
            frame = self._frames.show(step).tobytes()
            message["frame"] = self._frames.size
        self.outbox.put(message, frame)
        if self.client.wants_stop.is_set():
            raise Cancelled


def _scaled(span: slice, ratio: float, length: int) -> slice:
    start = min(math.floor(span.start * ratio), length - 1)
    return slice(start, min(length, max(start + 1, math.ceil(span.stop * ratio))))


def _lay_on(
    original: Tensor,
    dreamed: Tensor,
    pixels: Tensor,
    wraps: Wraps,
    *,
    gone: Tensor | None = None,
) -> Tensor:
    """Bring the change to the size of the original, and add it there.

    Args:
        original: (1, 3, H, W) in 0..1; left unchanged.
        dreamed: (1, 3, h, w), the dream on `pixels`; given up.
        pixels: the original at that size.
        wraps: which edges meet.
        gone: how much of the original gave way to what the dream started with, (1, 1, H, W) in
            0..1: there its detail, which the small one lacks, is not to be seen. None: nowhere.
    """
    with torch.no_grad():
        for rows in bands(dreamed, pixels):
            dreamed[:, :, rows] -= pixels[:, :, rows]
        size = (original.shape[2], original.shape[3])
        change = resize(dreamed, size, like=original, wraps=wraps)
        result = copied(original)
        if gone is not None:
            blurred = resize(pixels, size, like=original, wraps=wraps)
            for rows in bands(result, blurred):
                result[:, :, rows].lerp_(blurred[:, :, rows], gone[:, :, rows])
        for rows in bands(result, change):
            result[:, :, rows] = (result[:, :, rows] + change[:, :, rows]).clamp_(0, 1)
    return result


@contextmanager
def _warnings_to(outbox: Outbox) -> Iterator[None]:
    """Let the client read what the engine warns of in this thread."""

    class Notices(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == threading.get_ident():
                outbox.put({"notice": record.getMessage()})

    logger, handler = logging.getLogger("reverie"), Notices(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _follow(job: _Dreaming, future: Future[Dreamed], turns: Turns) -> None:
    """Tell the client what happens, and hear whether it still wants it, until the dream is done."""
    channel, told, is_done = job.client.channel, 0, False
    try:
        while not is_done:
            is_done = future.done()  # asked first: what was put before is taken below
            if (before := turns.before(future)) not in {0, told}:
                told = before
                channel.send({"waiting": before})
            for message, frame in job.outbox.take(_TICK):
                channel.send(message, frame)
            job.client.listen()
    except BaseException:
        job.is_abandoned.set()
        future.cancel()
        wait([future])  # its memory is in use until the step is over
        raise


def _record(
    order: Order,
    others: Sequence[Recipe],
    network: LoadedNetwork,
    device: torch.device,
    dreamed: Dreamed,
) -> str:
    return write_record(
        resolve(order.recipe, device),
        digest=network.digest,
        device=str(device),
        done=dreamed.done,
        is_masked=order.has_mask or not order.is_whole,
        is_guided=order.guide is not None,
        regions=[resolve(each, device).objective for each in others],
    )


def _send_result(
    channel: Channel, order: Order, part: Part, upload: Upload, dreamed: Dreamed, record: str
) -> None:
    channel.send(
        {
            "result": order.select.as_list(),
            "rows": rows_of(order.select.width),
            "done": dreamed.done,
            "record": record,
        }
    )
    for rows, data in upload.strips(dreamed.pixels, part.chosen):
        channel.send({"rows": [rows.start, rows.stop]}, data)
    channel.send({"end": True})
