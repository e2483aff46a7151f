"""CUDA graphs: a step is recorded once for each size of picture, and then replayed.

Up to about 1800 px a GPU is done with the kernels of a step sooner than Python has launched them; a
recorded step launches them all at once. Graphs share one pool of memory, because only one runs at a
time. What cannot be recorded runs as it is.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reverie.device import says_out_of_memory
from reverie.engine.jitter import roll, unroll

if TYPE_CHECKING:
    from reverie.engine.tiles import Gradient

_log = logging.getLogger(__name__)

Step = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From pictures, already rolled, to an objective's values and gradient."""
Record = Callable[[Step, Tensor], tuple[Callable[[], None], tuple[Tensor, Tensor]]]
"""Records a step on a picture that stays in place: gives how to replay it, and where it writes."""

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
    runs: dict[torch.Size, int] = {}
    recordings: OrderedDict[torch.Size, _Recording | None] = OrderedDict()
    lock = threading.Lock()  # a recording reads and writes one place

    def gradient(image: Tensor, shift: tuple[int, int]) -> tuple[Tensor, Tensor]:
        size = image.shape
        rolled = roll(image, shift)
        with lock:
            runs[size] = runs.get(size, 0) + 1
            if runs[size] > _WARM_UP and size not in recordings:
                recordings[size] = _recorded(step, record, rolled)
                while len(recordings) > _KEPT:
                    recordings.popitem(last=False)
            recording = recordings.get(size)
            values, found = step(rolled) if recording is None else recording(rolled)
        return values, unroll(found, shift)

    return gradient


class _Recording:
    """A recorded step, with the memory that it reads and writes."""

    def __init__(self, step: Step, record: Record, image: Tensor) -> None:
        self._image = image.clone()
        self._replay, self._results = record(step, self._image)

    def __call__(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Replay the step; what it gives is the caller's own."""
        self._image.copy_(image)
        self._replay()
        values, gradient = self._results
        return values.clone(), gradient.clone()


def _recorded(step: Step, record: Record, image: Tensor) -> _Recording | None:
    """Record a step and see that it does what the step does; None if it does not."""
    try:
        recording = _Recording(step, record, image)
        _, found = recording(image)
        _, expected = step(image)
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
        self, step: Step, image: Tensor
    ) -> tuple[Callable[[], None], tuple[Tensor, Tensor]]:
        """Record a step; what other threads do on the GPU meanwhile does not matter."""
        graph = torch.cuda.CUDAGraph()
        aside = torch.cuda.Stream(device=image.device)  # type: ignore[no-untyped-call]
        with torch.cuda.device(image.device):
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):  # as PyTorch asks: once outside the default stream
                step(image)
            torch.cuda.current_stream().wait_stream(aside)
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                results = step(image)
        return graph.replay, results
