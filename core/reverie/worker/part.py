"""Which part of a picture a dream has to see, and at what size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from reverie.engine.octaves import fit
from reverie.engine.selection import select
from reverie.errors import ImageError
from reverie.worker.order import Box
from reverie.worker.room import MOST

if TYPE_CHECKING:
    from reverie.worker.order import Order


@dataclass(frozen=True)
class Part:
    """The part that a client sends.

    Attributes:
        box: in the picture.
        chosen: what may change, in the part.
        size: height and width in px at which the part is dreamed.
    """

    box: Box
    chosen: Box
    size: tuple[int, int]

    @property
    def area(self) -> int:
        """How many px there are to send."""
        return self.box.width * self.box.height

    @property
    def is_scaled(self) -> bool:
        """It is dreamed at another size."""
        return self.size != (self.box.height, self.box.width)


def find_part(order: Order, margin: int | None, stride: int) -> Part:
    """Find what is selected and what its gradient depends on, as the engine will.

    At its own size, a dream on the part is bit for bit that on the picture. At a recipe's size, the
    part is scaled as the whole picture would be.

    Args:
        order: the client's.
        margin: px around it that are dreamed with it; None: the whole picture.
        stride: px; the network's grid.
    Raises:
        ImageError: the part is too large, as it is or as it is to be dreamed.
    """
    whole = (order.height, order.width)
    scaled = fit(whole, order.recipe.size)
    if order.is_whole or margin is None:
        box, size = Box(0, 0, order.width, order.height), scaled
    else:
        down = _span(order.select.rows, whole[0], scaled[0], margin, stride)
        across = _span(order.select.columns, whole[1], scaled[1], margin, stride)
        box = Box(across.start, down.start, across.stop - across.start, down.stop - down.start)
        size = (
            _scaled(box.height, scaled[0], whole[0]),
            _scaled(box.width, scaled[1], whole[1]),
        )
    part = Part(box, order.select.within(box), size)
    for height, width in ((box.height, box.width), size):
        if height * width > MOST:
            raise ImageError(
                f"{width} x {height} px are too many: the worker takes "
                f"{MOST // 10**6} megapixels; select less, or set a smaller size."
            )
    return part


def _span(chosen: slice, length: int, scaled: int, margin: int, stride: int) -> slice:
    """Give rows or columns to send, of those of the picture."""
    ratio = scaled / length
    start, stop = math.floor(chosen.start * ratio), math.ceil(chosen.stop * ratio)
    selected = torch.zeros(1, 1, scaled, 1)
    selected[:, :, start:stop] = 1
    line = torch.empty(1, 1, 1, 1).expand(1, 3, scaled, 1)  # has no memory
    found = select(line, selected, margin, stride).rows
    first, last, _ = found.indices(scaled)
    return slice(math.floor(first / ratio), min(length, math.ceil(last / ratio)))


def _scaled(length: int, scaled: int, whole: int) -> int:
    return max(1, round(length * scaled / whole))
