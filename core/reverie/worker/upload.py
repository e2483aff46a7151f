"""The pixels of a part, strip by strip from the client, and the result back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from reverie.engine.canvas import empty
from reverie.errors import ImageError
from reverie.worker.messages import ProtocolError, bytes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reverie.worker.messages import Channel
    from reverie.worker.order import Box

MOST_ROWS = 128
"""Rows of a strip; editors keep pictures in tiles of such a height."""
_LARGEST_STRIP = 2**24
"""Bytes; a strip of a wide part has fewer rows."""
_PIXEL = 16
"""Bytes: red, green, blue, alpha as little-endian float32."""
_COLORS = 3


def rows_of(width: int) -> int:
    """How many rows a strip of this width may have, in px."""
    return max(1, min(MOST_ROWS, _LARGEST_STRIP // (width * _PIXEL)))


class Upload:
    """What a client has sent of a part.

    Attributes:
        pixels: colours, (1, 3, H, W) float32 in 0..1.
        mask: (H, W) uint8, 255 where the dream may go; None if there is none.
        regions: of each region where it is, (H, W) uint8 as well.
    """

    def __init__(self, height: int, width: int, *, in_file: bool) -> None:
        self._in_file = in_file
        self.pixels = self._empty(_COLORS, height, width)
        self.mask: Tensor | None = None
        self.regions: list[Tensor] = []
        self._alpha: Tensor | None = None
        """(1, 1, H, W); None while all is opaque."""
        self._outside: Tensor | None = None
        """The colours as they came, (1, 3, H, W); None while all are in 0..1."""

    def _empty(self, channels: int, height: int, width: int) -> Tensor:
        nothing = torch.empty(0, device="cpu")
        return empty((1, channels, height, width), like=nothing, in_file=self._in_file)

    def receive(self, channel: Channel) -> None:
        """Take all pixels of the part.

        Raises:
            ImageError: some are no numbers.
            ProtocolError: a strip is not as the protocol says.
        """
        for rows, data in self._strips(channel, "rows", _PIXEL):
            values = np.frombuffer(data, "<f4").reshape(rows.stop - rows.start, -1, _COLORS + 1)
            if not np.isfinite(values[..., :_COLORS]).all():
                raise ImageError(
                    f"rows {rows.start} to {rows.stop - 1} of the picture hold values that are not "
                    "numbers (NaN or infinity); replace them first."
                )
            self._keep(
                rows, torch.from_numpy(values.astype(np.float32, copy=False)).permute(2, 0, 1)[None]
            )

    def receive_mask(self, channel: Channel, chosen: Box) -> None:
        """Take the mask of the part, of which nothing counts outside what may change."""
        came = self._levels(channel, "mask")
        self.choose(chosen)
        assert self.mask is not None  # noqa: S101 - just made
        self.mask[chosen.rows, chosen.columns] = came[chosen.rows, chosen.columns]

    def receive_region(self, channel: Channel) -> None:
        """Take the mask of one more region, of the whole part: what lies around counts as well."""
        self.regions.append(self._levels(channel, "region"))

    def _levels(self, channel: Channel, key: str) -> Tensor:
        height, width = self.pixels.shape[2:]
        levels = torch.empty(height, width, dtype=torch.uint8, device="cpu")
        for rows, data in self._strips(channel, key, 1):
            levels[rows] = torch.from_numpy(np.frombuffer(data, np.uint8).reshape(-1, width))
        return levels

    def choose(self, chosen: Box) -> None:
        """Let only this part change."""
        height, width = self.pixels.shape[2:]
        self.mask = torch.zeros(height, width, dtype=torch.uint8, device="cpu")
        self.mask[chosen.rows, chosen.columns] = 255

    def _strips(self, channel: Channel, key: str, size: int) -> Iterator[tuple[slice, memoryview]]:
        """Give rows and bytes of each strip; the bytes are overwritten by the next."""
        height, width = self.pixels.shape[2:]
        most = rows_of(width)
        memory = memoryview(bytearray(min(most, height) * width * size))
        done = 0
        while done < height:
            message = channel.receive()
            rows = _rows(message, key, done, min(height, done + most))
            due = (rows.stop - rows.start) * width * size
            bytes_of(message, due)
            channel.receive_into(memory[:due])
            yield rows, memory[:due]
            done = rows.stop

    def _keep(self, rows: slice, values: Tensor) -> None:
        """Lay a strip in, (1, 4, h, W); what is special about a picture costs memory only then."""
        colours, alpha = values[:, :_COLORS], values[:, _COLORS:]
        if self._alpha is None and bool((alpha != 1).any()):
            self._alpha = self._empty(1, *self.pixels.shape[2:])
            self._alpha[:, :, : rows.start] = 1
        if self._alpha is not None:
            self._alpha[:, :, rows] = alpha
        if self._outside is None and bool(((colours < 0) | (colours > 1)).any()):
            self._outside = self._empty(_COLORS, *self.pixels.shape[2:])
            self._outside[:, :, : rows.start] = self.pixels[:, :, : rows.start]
        if self._outside is not None:
            self._outside[:, :, rows] = colours
            colours = colours.clamp(0, 1)
        self.pixels[:, :, rows] = colours

    def strips(self, dreamed: Tensor, chosen: Box) -> Iterator[tuple[slice, memoryview]]:
        """Give the result from top to bottom: rows of what may change, and their bytes.

        Args:
            dreamed: the part after the dream, (1, 3, H, W) in 0..1.
            chosen: what may change.
        """
        most = rows_of(chosen.width)
        for start in range(0, chosen.height, most):
            rows = slice(start, min(start + most, chosen.height))
            inside = slice(chosen.y + rows.start, chosen.y + rows.stop)
            strip = torch.ones(rows.stop - rows.start, chosen.width, _COLORS + 1)
            colours = self._changed(dreamed, inside, chosen.columns)
            strip[..., :_COLORS] = colours.permute(1, 2, 0)
            if self._alpha is not None:
                strip[..., _COLORS] = self._alpha[0, 0, inside, chosen.columns]
            yield rows, _bytes(strip.numpy())

    def _changed(self, dreamed: Tensor, rows: slice, columns: slice) -> Tensor:
        """Give (3, h, w): where nothing was allowed to change, the very numbers that came."""
        after = dreamed[0, :, rows, columns]
        before = self.pixels[0, :, rows, columns]
        if self._outside is not None:
            came = self._outside[0, :, rows, columns]
            after = torch.where(came == before, after, came + (after - before))
            before = came
        if self.mask is None:
            return after
        return torch.where(self.mask[rows, columns] > 0, after, before)


def _rows(message: dict[str, Any], key: str, first: int, last: int) -> slice:
    given: Any = message.get(key)
    is_pair = isinstance(given, list) and [type(each) for each in given] == [int, int]
    if is_pair and given[0] == first < given[1] <= last:
        return slice(*given)
    raise ProtocolError(
        f'{key}: rows from {first} on, at most to {last}, are due as "{key}": [{first}, {last}]; '
        f"this came: {str(message)[:80]}"
    )


def _bytes(values: np.ndarray[Any, Any]) -> memoryview:
    return np.ascontiguousarray(values, "<f4").data.cast("B")
