"""CUDA graphs: a step is recorded once for each size of picture, and then replayed.

Up to about 1800 px a GPU is done with the kernels of a step sooner than Python has launched them; a
recorded step launches them all at once. Graphs share one pool of memory, because only one runs at a
time. What cannot be recorded runs as it is.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reverie.device import says_out_of_memory
from reverie.engine.jitter import roll, unroll
from reverie.engine.reference import Reference

if TYPE_CHECKING:
    from reverie.engine.tiles import Gradient

_log = logging.getLogger(__name__)

Results = tuple[Tensor, Tensor]
"""An objective's values and gradient."""
Step = Callable[..., Results]
"""From pictures, already rolled, and a `Reference` like them where the objective needs one."""
Record = Callable[[Callable[[], Results], torch.device], tuple[Callable[[], None], Results]]
"""Records what reads and writes memory that stays in place: returns how to replay it, and where it
writes."""

_WARM_UP = 2
"""Steps of a size that run as they are before one is recorded: libraries choose their ways then."""
_KEPT = 16
"""Sizes whose recordings are kept; a dream has up to ten octaves."""
_AGREES = 0.999
"""Least cosine between a replayed gradient and the same one not recorded; both round alike, so
anything less means that the recording missed something, such as a value read by Python."""


def replayed(step: Step, record: Record | None = None) -> Gradient:
    """Make a gradient that records its steps.

    The first steps of a size run as they are; the next is recorded, compared once with the same
    step not recorded, and then only replayed, without waiting for the GPU.

    Args:
        step: launches the same kernels whenever it gets pictures of the same shape.
        record: how; by default as a CUDA graph.
    """
    record = record or _CudaGraphs()
    runs: dict[Hashable, int] = {}
    recordings: OrderedDict[Hashable, _Recording | None] = OrderedDict()
    lock = threading.Lock()  # a recording reads and writes one place

    def gradient(image: Tensor, shift: tuple[int, int], *reference: Reference) -> Results:
        beside = [each.mapped(lambda picture: roll(picture, shift)) for each in reference]
        inputs = _Inputs(roll(image, shift), beside)
        size = inputs.size
        with lock:
            runs[size] = runs.get(size, 0) + 1
            if runs[size] > _WARM_UP and size not in recordings:
                recordings[size] = _recorded(step, record, inputs)
                while len(recordings) > _KEPT:
                    recordings.popitem(last=False)
            recording = recordings.get(size)
            values, found = inputs.through(step) if recording is None else recording(inputs)
        return values, unroll(found, shift)

    return gradient


class _Inputs:
    """What a step reads: pictures, and what the objective looks at besides."""

    def __init__(self, image: Tensor, beside: Sequence[Reference]) -> None:
        self.image, self.beside = image, tuple(beside)

    @property
    def tensors(self) -> list[Tensor]:
        """All that is read, in an order of its own."""
        others = [
            t for each in self.beside for t in (*each.pictures.values(), *each.found.values())
        ]
        return [self.image, *others]

    @property
    def size(self) -> Hashable:
        """Tells inputs for which one recording does from others."""
        names = [(*each.pictures, *each.found) for each in self.beside]
        return (*map(tuple, names), *(tuple(each.shape) for each in self.tensors))

    def copied(self) -> _Inputs:
        """Return the same in other places in memory, which stay."""
        beside = [
            Reference(
                {key: value.clone() for key, value in each.pictures.items()},
                {key: value.clone() for key, value in each.found.items()},
            )
            for each in self.beside
        ]
        return _Inputs(self.image.clone(), beside)

    def through(self, step: Step) -> Results:
        """Take the step."""
        return step(self.image, *self.beside)


class _Recording:
    """A recorded step, with the memory that it reads and writes."""

    def __init__(self, step: Step, record: Record, inputs: _Inputs) -> None:
        self._inputs = inputs.copied()
        self._replay, self._results = record(
            partial(self._inputs.through, step), inputs.image.device
        )

    def __call__(self, inputs: _Inputs) -> Results:
        """Replay the step; what it returns is the caller's own."""
        for place, value in zip(self._inputs.tensors, inputs.tensors, strict=True):
            place.copy_(value)
        self._replay()
        values, gradient = self._results
        return values.clone(), gradient.clone()


def _recorded(step: Step, record: Record, inputs: _Inputs) -> _Recording | None:
    """Record a step and see that it does what the step does; None if it does not."""
    try:
        recording = _Recording(step, record, inputs)
        _, found = recording(inputs)
        _, expected = inputs.through(step)
    except RuntimeError as error:
        if says_out_of_memory(error):
            raise
        _log.debug("not recorded: %s", error)
        return None
    cosine = torch.nn.functional.cosine_similarity(found.flatten(), expected.flatten(), dim=0)
    if float(cosine) < _AGREES and bool(expected.any()):
        _log.warning("a recorded step went astray (cosine %.4f); it runs unrecorded.", cosine)
        return None
    return recording


class _CudaGraphs:
    """Records CUDA graphs that share one pool of memory."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(
        self, step: Callable[[], Results], device: torch.device
    ) -> tuple[Callable[[], None], Results]:
        """Record a step; what other threads do on the GPU meanwhile does not matter."""
        graph = torch.cuda.CUDAGraph()
        aside = torch.cuda.Stream(device=device)  # type: ignore[no-untyped-call]
        with torch.cuda.device(device):
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):  # as PyTorch asks: once outside the default stream
                step()
            torch.cuda.current_stream().wait_stream(aside)
            # On a stream of this device: PyTorch's own is that of the first capture's device.
            with torch.cuda.graph(
                graph, pool=self._pool, stream=aside, capture_error_mode="thread_local"
            ):
                results = step()
        return graph.replay, results
