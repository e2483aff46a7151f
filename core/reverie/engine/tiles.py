"""Tiles: the gradient of a large picture, computed piece by piece in bounded memory.

A tile is seen with a halo of the receptive field around it, so that its own pixels get the gradient
that the whole picture would give them. Only objectives that are means over positions can be cut up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from reverie.device import says_out_of_memory
from reverie.engine.canvas import LARGE, empty, hand_back, trim
from reverie.engine.wrapping import FRAME, Wraps, folded
from reverie.errors import ReverieError

if TYPE_CHECKING:
    from reverie.engine.reference import Reference

_log = logging.getLogger(__name__)

Gradient = Callable[..., tuple[Tensor, Tensor]]
"""From pictures (N, 3, H, W) to an objective's values (N,) and its gradient, shaped like them.

The network sees the pictures rolled by a second argument, rows and columns in px; the gradient is
not rolled. A third, a `Reference`, is given only where the objective needs one.
"""

_LEAST = 128
"""px; tiles are no narrower, however little memory there is: below, nearly all work is halo."""


def tiled(
    gradient: Gradient,
    halo: int | None,
    stride: int,
    *,
    most: int = LARGE,
    cells: Callable[[int, int], int] | None = None,
    is_frugal: bool = False,
    sees_batch: bool = False,
    wraps: Wraps = FRAME,
    around: int = 0,
) -> Gradient:
    """Make a gradient that sees pictures one by one, and large ones in tiles.

    Where memory runs out, tiles are halved from there on.

    Args:
        gradient: of the whole picture.
        halo: px around a tile that its pixels' gradient depends on: the receptive field. None:
            the objective cannot be cut up.
        stride: px between the outputs of the deepest layer; tiles start at its multiples.
        most: px that are seen at once, a tile's halo included; never less than `least` says.
        cells: how many outputs a length in px gives along an axis, 0 down, 1 right: a tile weighs
            as many means as it has cells. None: its area.
        is_frugal: give the system back after each tile what is free, which takes time.
        sees_batch: all pictures are seen at once, because they look at each other; then none is
            cut up.
        wraps: which edges meet; across them even a picture in one tile has its halo.
        around: px seen across such edges by an objective that cannot be cut up.
    """
    if sees_batch or halo is None:
        whole = _untiled(gradient)
        whole = whole if wraps == FRAME else folded(whole, around, wraps)
        return whole if sees_batch else _one_by_one(whole, most)
    return _Tiles(
        gradient,
        _rounded_up(halo, stride),
        stride,
        most,
        cells or (lambda px, _axis: px),
        is_frugal=is_frugal,
        wraps=wraps,
    )


def least(halo: int, stride: int) -> int:
    """Give the px of the smallest tile with its halo, at most."""
    return (_rounded_up(_LEAST, stride) + 2 * _rounded_up(halo, stride) + stride - 1) ** 2


def _rounded_up(length: int, stride: int) -> int:
    return -(-length // stride) * stride


def _one_by_one(gradient: Gradient, most: int) -> Gradient:
    """See the pictures of a batch together where that is faster, which is never on a CPU.

    There, each gets to the bit what it would get alone.
    """

    def each(
        image: Tensor, shift: tuple[int, int] = (0, 0), *reference: Reference
    ) -> tuple[Tensor, Tensor]:
        count, _, height, width = image.shape
        if count == 1 or (image.device.type != "cpu" and count * height * width <= most):
            return gradient(image, shift, *reference)
        values, result = [], empty(image.shape, like=image)
        for number in range(count):
            alone = [every.of(number) for every in reference]
            value, result[number : number + 1] = gradient(image[number : number + 1], shift, *alone)
            values.append(value)
        return torch.cat(values), result

    return each


def _untiled(gradient: Gradient) -> Gradient:
    def whole(
        image: Tensor, shift: tuple[int, int], *reference: Reference
    ) -> tuple[Tensor, Tensor]:
        try:
            return gradient(image, shift, *reference)
        except (RuntimeError, MemoryError) as error:
            if not says_out_of_memory(error):
                raise
            raise ReverieError(
                f"{image.device} has not enough memory for {image.shape[3]} x {image.shape[2]} px "
                "at once, and this objective cannot be cut into tiles; set a smaller size, or "
                "choose a layer or a channel as objective."
            ) from error

    return whole


class _Tiles:
    """The gradient of one picture, in tiles if it has more than `most` px."""

    def __init__(
        self,
        gradient: Gradient,
        halo: int,
        stride: int,
        most: int,
        cells: Callable[[int, int], int],
        *,
        is_frugal: bool,
        wraps: Wraps = FRAME,
    ) -> None:
        self._gradient = gradient
        self._halo = halo
        self._stride = stride
        self._most = most
        self._cells = cells
        self._is_frugal = is_frugal
        self._wraps = wraps

    def __call__(
        self, image: Tensor, shift: tuple[int, int] = (0, 0), *reference: Reference
    ) -> tuple[Tensor, Tensor]:
        while True:
            try:
                return _one_by_one(self._climb, self._most)(image, shift, *reference)
            except (RuntimeError, MemoryError) as error:
                if not says_out_of_memory(error):
                    raise
                lack = error.with_traceback(None)  # its frames hold what is to be freed
            self._retreat(image, lack)

    def _climb(
        self, image: Tensor, shift: tuple[int, int], *reference: Reference
    ) -> tuple[Tensor, Tensor]:
        plan = self._plan(image)
        if len(plan.rows) == len(plan.columns) == 1 and self._wraps == FRAME:
            return self._gradient(image, shift, *reference)
        height, width = image.shape[2:]
        cells = self._cells(height, 0) * self._cells(width, 1)
        values = torch.zeros(1, device=image.device, dtype=torch.float32)
        result = empty(image.shape, like=image)
        for row in plan.rows:
            for column in plan.columns:
                cut = partial(_cut, row=row, column=column, shift=shift)
                window, beside = cut(image), [every.mapped(cut) for every in reference]
                hand_back(image, *(one for every in reference for one in every.pictures.values()))
                value, piece = self._gradient(window, (0, 0), *beside)
                # The mean over a tile weighs its cells more than the mean over the picture does.
                seen = self._cells(window.shape[2], 0) * self._cells(window.shape[3], 1)
                piece *= seen / cells
                _lay_in(result, piece, row, column, shift)
                values += value * (row.length * column.length / (height * width))
                hand_back(result)
                del window, beside, piece
                if self._is_frugal and image.device.type == "cpu":
                    trim()
        return values, result

    def _plan(self, image: Tensor) -> Plan:
        size = (image.shape[2], image.shape[3])
        return plan_tiles(size, self._most, self._halo, self._stride, self._wraps)

    def _retreat(self, image: Tensor, lack: BaseException) -> None:
        """Halve the tiles, and free what the failed attempt has left."""
        before = self._plan(image).largest
        self._most = before // 2
        if self._plan(image).largest == before:
            raise ReverieError(
                f"{image.device} has not enough memory for a tile of {before / 1e6:.2f} "
                "megapixels, the smallest; close other programs, or choose another device or a "
                "layer nearer to the picture."
            ) from lack
        _log.warning(
            "%s has not enough memory for %.1f megapixels at once; the dream goes on in smaller "
            "tiles.",
            image.device,
            before / 1e6,
        )
        if image.device.type == "cuda":
            torch.cuda.empty_cache()


class Span(NamedTuple):
    """One tile's rows or columns, in px of the rolled picture."""

    start: int
    stop: int
    first: int
    """Where what is seen begins: a halo before `start`, or at the edge.

    Below 0, and above the length, it goes on at the other edge.
    """
    last: int

    @property
    def length(self) -> int:
        """How many px are the tile's own."""
        return self.stop - self.start

    @property
    def seen(self) -> int:
        """How many px are seen."""
        return self.last - self.first


@dataclass(frozen=True)
class Plan:
    """How a picture is cut."""

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    @property
    def largest(self) -> int:
        """Size in px of the largest tile with its halo."""
        return max(row.seen for row in self.rows) * max(column.seen for column in self.columns)

    @property
    def work(self) -> int:
        """How many px are seen in all, halos counted as often as they are seen."""
        return sum(row.seen for row in self.rows) * sum(column.seen for column in self.columns)


@lru_cache(maxsize=64)
def plan_tiles(
    size: tuple[int, int], most: int, halo: int, stride: int, wraps: Wraps = FRAME
) -> Plan:
    """Choose the grid of even tiles that costs least: squares, or strips with half the halo.

    Args:
        size: height and width in px.
        most: px of a tile with its halo; exceeded only where no tile could be smaller.
        halo: px around a tile.
        stride: px; tiles start at its multiples.
        wraps: which edges meet: there, tiles have a halo too.
    """
    rows, columns = (
        _divisions(length, halo, stride, wrapped=wrapped)
        for length, wrapped in zip(size, wraps, strict=True)
    )
    # For each way to divide the height, dividing the width as little as fits costs least.
    plans = [
        Plan(row, next((c for c in columns if _widest(row) * _widest(c) <= most), columns[-1]))
        for row in rows
    ]
    fitting = [plan for plan in plans if plan.largest <= most]
    if not fitting:
        return min(plans, key=lambda plan: plan.largest)
    return min(fitting, key=lambda plan: (plan.work, len(plan.rows)))


def _widest(spans: tuple[Span, ...]) -> int:
    return max(span.seen for span in spans)


def _divisions(
    length: int, halo: int, stride: int, *, wrapped: bool = False
) -> list[tuple[Span, ...]]:
    """List the ways to cut a length evenly: whole first, and down to the smallest side.

    What is seen leaves the same rest as the length when divided by the stride: networks that pad
    as much as is missing (TensorFlow's "same") begin elsewhere with another rest.
    """
    found: dict[int, tuple[Span, ...]] = {}
    rest = length % stride
    for count in range(1, -(-length // _rounded_up(_LEAST, stride)) + 1):
        side = _rounded_up(-(-length // count), stride)
        starts = range(0, length, side)
        found[len(starts)] = tuple(
            Span(
                start=start,
                stop=min(start + side, length),
                first=start - halo if wrapped else max(0, start - halo),
                last=min(start + side + rest, length) + halo
                if wrapped
                else min(length, start + side + halo + rest),
            )
            for start in starts
        )
    return list(found.values())


def _cut(image: Tensor, row: Span, column: Span, shift: tuple[int, int]) -> Tensor:
    """Copy what a tile sees out of the picture, as if that were rolled."""
    window = image.new_empty((*image.shape[:2], row.seen, column.seen))
    for rows, from_rows in _pieces(row.first, row.last, row.first, shift[0], image.shape[2]):
        for columns, from_columns in _pieces(
            column.first, column.last, column.first, shift[1], image.shape[3]
        ):
            window[:, :, rows, columns] = image[:, :, from_rows, from_columns]
    return window


def _lay_in(image: Tensor, window: Tensor, row: Span, column: Span, shift: tuple[int, int]) -> None:
    """Copy a tile's own pixels to their place in the picture, which is not rolled."""
    for rows, to_rows in _pieces(row.start, row.stop, row.first, shift[0], image.shape[2]):
        for columns, to_columns in _pieces(
            column.start, column.stop, column.first, shift[1], image.shape[3]
        ):
            image[:, :, to_rows, to_columns] = window[:, :, rows, columns]


def _pieces(
    start: int, stop: int, origin: int, shift: int, length: int
) -> Iterator[tuple[slice, slice]]:
    """Give, for a span of the rolled picture, where its parts are in a window and in the picture.

    >>> list(_pieces(0, 5, origin=0, shift=2, length=10))
    [(slice(0, 2, None), slice(8, 10, None)), (slice(2, 5, None), slice(0, 3, None))]
    """
    while start < stop:
        at = (start - shift) % length
        count = min(stop - start, length - at)
        yield slice(start - origin, start - origin + count), slice(at, at + count)
        start += count
