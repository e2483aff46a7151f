"""The recording of a network's layers, proven on pictures of another size and content."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from reverie.networks.folding import Folded, fold
from reverie.networks.program import Program
from reverie.networks.recording import Unrecordable, record
from reverie.networks.watching import outputs_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reverie.types import Network

_log = logging.getLogger(__name__)

_PROBES = ((96, 128), (224, 288))
"""px, height and width of the pictures that are recorded; larger where the first fails."""
_ODD = (35, 39)
"""px that the proof's picture is larger: odd sides, so that padding made for even ones shows."""
_AGREES = 1e-3
"""How much of its largest value a program may differ from its network."""


class ProvenPrograms:
    """What a network does up to some layers, as programs in float32 on the CPU.

    Attributes:
        module: the network.
        fits_all: one program does for pictures of all sizes and numbers. It was seen to give what
            the network gives for another number of pictures, of other sides, at least one odd.
        is_faithful: else, a program does for pictures of the size and number of its recording.
    """

    def __init__(self, record_of: Network, module: nn.Module, paths: Sequence[str]) -> None:
        """Record, and prove it.

        Args:
            record_of: says how pictures are normalised, and the only size it takes, if so.
            module: float32, on the CPU, nobody else's: hooks come and go on it.
            paths: the modules whose outputs are wanted.
        """
        self._network, self.module, self._paths = record_of, module, tuple(paths)
        self._folded: Folded = {}
        self._lock = threading.Lock()
        self.fits_all = False
        self._program: Program | None = None
        self.is_faithful = False
        if paths:
            self._begin()
        else:  # an objective of the picture alone
            self.fits_all, self._program = True, Program((), {})

    def _begin(self) -> None:
        window = self._network.window
        sizes = _PROBES if window is None else ((window, window),)
        try:
            program, (height, width) = self._first(sizes)
        except Unrecordable as reason:
            _log.debug("%s runs as it is: %s", self._network.name, reason)
            return
        odd = (height, width) if window else (height + _ODD[0], width + _ODD[1])
        if self._agree(program, self._picture(1, *odd)):
            self.fits_all, self._program = True, fold(program, self._folded)
        else:
            self.is_faithful = self._agree(program, self._picture(2, height, width).flip(2))

    def at(self, shape: tuple[int, ...]) -> Program | None:
        """Return the program for pictures (N, 3, H, W); None where there is none."""
        if self.fits_all or not self.is_faithful:
            return self._program
        with self._lock:
            try:
                program = self._record(self._picture(shape[0], *shape[2:]))
            except Unrecordable as reason:
                _log.debug("%s runs as it is: %s", self._network.name, reason)
                return None
            return fold(program, self._folded)

    def _first(self, sizes: Sequence[tuple[int, int]]) -> tuple[Program, tuple[int, int]]:
        for size in sizes[:-1]:
            try:
                return self._record(self._picture(2, *size)), size
            except (RuntimeError, ValueError, TypeError, AssertionError):  # it is too small
                continue
        return self._record(self._picture(2, *sizes[-1])), sizes[-1]

    def _record(self, picture: Tensor) -> Program:
        program = record(self.module, picture, self._paths)
        if missing := set(self._paths) - program.layers.keys():
            raise Unrecordable(f"{sorted(missing)} give no single tensor made of the picture")
        return program.up_to(self._paths)

    def _agree(self, program: Program, picture: Tensor) -> bool:
        """Tell whether a program gives what the network does."""
        with torch.no_grad():
            try:
                expected = outputs_of(self.module, picture, self._paths)
                found = program(picture)
            except (RuntimeError, IndexError, ValueError, TypeError, AssertionError) as reason:
                _log.debug("%s is recorded for each size: %s", self._network.name, reason)
                return False
        return all(_is_close(found[path], expected[path]) for path in self._paths)

    def _picture(self, count: int, height: int, width: int) -> Tensor:
        """Return normalised noise."""
        generator = torch.Generator().manual_seed(height * width)
        shape = (count, 3, height, width)
        noise = torch.rand(shape, generator=generator, device="cpu", dtype=torch.float32)
        mean, std = noise.new_tensor(self._network.mean), noise.new_tensor(self._network.std)
        return (noise - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)


def _is_close(found: Tensor, expected: Tensor) -> bool:
    if found.shape != expected.shape:
        return False
    largest = expected.abs().max() if expected.numel() else 0
    return torch.allclose(found, expected, rtol=0, atol=float(_AGREES * largest), equal_nan=True)
