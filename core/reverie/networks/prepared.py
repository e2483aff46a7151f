"""A network made ready to give the activations of some layers, on a device and in a precision."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from reverie.ambient import OwnRandomness
from reverie.errors import NetworkError
from reverie.networks.program import lacks_bf16
from reverie.networks.watching import outputs_of
from reverie.objectives import INPUT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reverie.networks.layers import Layer
    from reverie.networks.program import Program
    from reverie.networks.proving import ProvenPrograms
    from reverie.types import Network

_log = logging.getLogger(__name__)

_PROGRAMS = 16
"""Sizes of pictures whose programs are kept, where one does not fit all."""


class PreparedNetwork:
    """Gives the activations of some layers; runs no further than the deepest of them.

    Attributes:
        record: the plug-in's description.
        device: where it runs.
        dtype: in which it computes, but for what the device cannot do in it; see `widen`.
        derived: what an engine makes of it, kept as long as it is.
    """

    def __init__(
        self,
        record: Network,
        proven: ProvenPrograms,
        share: Callable[[], nn.Module],
        layers: Mapping[str, Layer],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.record = record
        self.device = device
        self.dtype = dtype
        self.derived: dict[object, Any] = {}
        self._was_widened = False
        self._proven = proven
        self._share = share
        self._layers = layers
        self._mean = torch.tensor(record.mean, device=device, dtype=torch.float32).view(1, 3, 1, 1)
        self._std = torch.tensor(record.std, device=device, dtype=torch.float32).view(1, 3, 1, 1)
        self._moved: dict[int, tuple[Tensor, Tensor]] = {}
        self._programs: OrderedDict[tuple[int, ...], Program | None] = OrderedDict()
        self._lock = threading.RLock()  # one thread's hooks would see another's activations

    @property
    def paths(self) -> tuple[str, ...]:
        """The modules whose outputs are wanted, each once, in the order in which they run."""
        ordered = sorted(self._layers.values(), key=lambda layer: layer.order)
        return tuple(dict.fromkeys(layer.name for layer in ordered))

    @cached_property
    def module(self) -> nn.Module:
        """The network itself, on `device` in `dtype`; for what no program can do."""
        module = self._share()
        module.to(device=self.device, dtype=self.dtype)
        return module.to(memory_format=self._order)

    @property
    def _order(self) -> torch.memory_format:
        """The order of memory in which convolutions are fastest.

        On NVIDIA's GPUs that is the usual one in float32: GoogLeNet to inception4c at 512 px took
        2.88 ms in it and 3.79 ms in channels_last (H200, deterministic algorithms, one CUDA graph).
        """
        is_usual = self.device.type == "cuda" and self.dtype is torch.float32
        return torch.contiguous_format if is_usual else torch.channels_last

    @property
    def lacks_bf16(self) -> bool:
        """Something in it has no bf16 on this device, and was computed in float32."""
        programs = [each for each in self._programs.values() if each is not None]
        return self._was_widened or any(each.wide for each in programs)

    @property
    def has_program(self) -> bool:
        """There is a program for all pictures, or one can be recorded for each size."""
        takes_any = self.record.window is None  # else the network itself is as fast
        each = self._proven.is_faithful and takes_any and self.device.type == "cpu"
        return self._proven.fits_all or each

    def program(self, shape: tuple[int, ...]) -> Program | None:
        """Return the program for normalised pictures of a shape, (N, 3, H, W).

        It is one object for all shapes where one program does for all. None: there is none, or it
        would have to be recorded on the CPU for each size while a GPU waits.
        """
        if not self.has_program:
            return None
        key = () if self._proven.fits_all else shape
        with self._lock:
            if key not in self._programs:
                found = self._proven.at(shape)
                moved = found and found.to(self.device, self.dtype, self._order, self._moved)
                self._programs[key] = moved
                while len(self._programs) > _PROGRAMS:
                    self._programs.popitem(last=False)
            self._programs.move_to_end(key)
            return self._programs[key]

    def widen(self) -> None:
        """Compute everything in float32 from now on, because something cannot be done in bf16."""
        with self._lock:
            self._was_widened, self.dtype = True, torch.float32
            self._moved.clear()
            self._programs.clear()
            self.__dict__.pop("module", None)
        _log.debug("%s lacks bf16 on %s; it runs in float32.", self.record.name, self.device)

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Run the network on pictures.

        Args:
            image: (N, 3, H, W) float32 in 0..1, on the network's device.
        Returns:
            For each layer its activations (N, C, H', W') in float32, and the image as `INPUT`.
        """
        normal = (image - self._mean) / self._std
        window = self.record.window
        windows = normal if window is None else _cut(normal, window)
        try:
            seen = self._see(windows)
        except (NotImplementedError, RuntimeError) as error:
            if self.dtype is not torch.bfloat16 or not lacks_bf16(error):
                raise
            self.widen()
            seen = self._see(windows)
        return self.given(
            {path: output.float() for path, output in seen.items()},
            image,
            windows=len(windows) // len(image),
        )

    def _see(self, windows: Tensor) -> Mapping[str, Tensor]:
        if not self.paths:
            return {}
        program = self.program(tuple(windows.shape))
        windows = windows.to(self.dtype, memory_format=self._order)
        if program is not None:
            return program(windows)
        with self._lock, OwnRandomness():  # the caller's random numbers are not the network's
            return outputs_of(self.module, windows, self.paths)

    def given(
        self, outputs: Mapping[str, Tensor], image: Tensor, *, windows: int = 1
    ) -> dict[str, Tensor]:
        """Name what modules gave as an objective asks for it.

        Args:
            outputs: by path, float32, shaped as the modules give them.
            image: the pictures, (N, 3, H, W).
            windows: how many outputs there are of each picture.
        Returns:
            For each layer its activations (N, C, H', W'), and the image as `INPUT`.
        """
        given = {INPUT: image}
        for name, layer in self._layers.items():
            if layer.name not in outputs:
                raise NetworkError(f"the network never ran its layer {layer.name!r}.")
            given[name] = _as_map(outputs[layer.name], layer.channel_axis, windows)
        return given


def _cut(image: Tensor, window: int) -> Tensor:
    """Cut (N, C, H, W) into (N * count, C, window, window), going round at the edges."""
    height, width = image.shape[2:]
    rows, columns = -(-height // window), -(-width // window)
    row = torch.arange(rows * window, device=image.device) % height
    column = torch.arange(columns * window, device=image.device) % width
    cut = image[:, :, row][:, :, :, column]
    cut = cut.reshape(*image.shape[:2], rows, window, columns, window).permute(0, 2, 4, 1, 3, 5)
    return cut.flatten(0, 2)


def _as_map(activation: Tensor, channel_axis: int, count: int) -> Tensor:
    """Bring any layer's output to (N, C, H, W), stacking `count` windows of a picture in H."""
    activation = activation.movedim(channel_axis, 1)
    while activation.ndim < 4:  # noqa: PLR2004
        activation = activation[..., None]
    if count == 1:
        return activation
    stacked = activation.reshape(-1, count, *activation.shape[1:])
    return stacked.transpose(1, 2).flatten(2, 3)
