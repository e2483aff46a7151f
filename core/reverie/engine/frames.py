"""Small pictures of a dream on a part of a picture, while it grows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reverie.engine.octaves import fit, resize

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from reverie.engine.dream import Step
    from reverie.engine.selection import Area

GREY_LEVELS = 255
"""Step sizes are given on this scale; pictures are kept on 0..1."""


class Frames:
    """Makes frames of a dream.

    Args:
        area: what the engine works on, of the part as it is dreamed.
        chosen: rows and columns of the part to show.
        longest: longest side of a frame, in px.
        smallest: px; the engine extends a smaller area to this.
    """

    def __init__(
        self, area: Area, chosen: tuple[slice, slice], longest: int, smallest: int
    ) -> None:
        shown = area.whole[:, :, chosen[0], chosen[1]]
        size = (shown.shape[2], shown.shape[3])
        self._size = fit(size, longest) if max(size) > longest else size
        self._canvas = resize(shown, self._size).clone()
        self._spans = [
            _Span(one, part, whole, after, smallest)
            for one, part, whole, after in zip(
                chosen, (area.rows, area.columns), area.whole.shape[2:], self._size, strict=True
            )
        ]
        self._where = self._dreamed(area)

    def _dreamed(self, area: Area) -> Tensor:
        """Where frames change, 0..1; the rest of what is seen stays, and is blurred when small."""
        down, across = self._spans
        if area.mask is None or not (down.length and across.length):
            return self._canvas.new_ones(())
        chosen = (area.mask[:1, :, down.own, across.own] > 0).to(self._canvas.dtype)
        return resize(chosen, (down.length, across.length)).clamp_(0, 1)

    @property
    def size(self) -> list[int]:
        """Width and height in px, the same for all frames of a dream."""
        return [self._size[1], self._size[0]]

    def show(self, step: Step) -> np.ndarray[Any, Any]:
        """Give the frame after a step, (H, W, 3) uint8."""
        down, across = self._spans
        rows, columns = (
            span.seen(length) for span, length in zip(self._spans, step.size, strict=True)
        )
        seen = step.picture[:1, :, rows, columns]
        if seen.numel() and down.length and across.length:
            shown = self._canvas[:, :, down.shown, across.shown]
            shown.lerp_(resize(seen, (down.length, across.length)), self._where)
        return levels(self._canvas)


class _Span:
    """One direction: where the engine's rows are in the frame, and the frame's in the engine's."""

    def __init__(self, chosen: slice, area: slice, whole: int, frame: int, smallest: int) -> None:
        first, last, _ = area.indices(whole)
        self._start, self._stop = max(first, chosen.start), min(last, chosen.stop)
        self._first = first
        self.own = slice(self._start - first, self._stop - first)
        self._extended = max(last - first, smallest)
        ratio = frame / (chosen.stop - chosen.start)
        self.shown = slice(
            round((self._start - chosen.start) * ratio), round((self._stop - chosen.start) * ratio)
        )
        self.length = max(0, self.shown.stop - self.shown.start)

    def seen(self, length: int) -> slice:
        """Which rows of an octave of this length are shown."""
        ratio = length / self._extended
        start = round((self._start - self._first) * ratio)
        return slice(start, max(start + 1, round((self._stop - self._first) * ratio)))


def levels(pictures: Tensor) -> np.ndarray[Any, Any]:
    """Give the first of (N, 3, H, W) in 0..1 as (H, W, 3) uint8."""
    values = pictures[0].permute(1, 2, 0).clamp(0, 1) * GREY_LEVELS
    return values.round().byte().cpu().numpy()
