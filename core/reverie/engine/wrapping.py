"""Pictures whose edges meet: seamless tiles, and panoramas that go once around.

The network sees what lies across the edge: tiles.py takes a halo from there. What else works on a
neighbourhood (resampling, smoothing) gets one here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from reverie.engine.canvas import bands, empty, hand_back

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from reverie.engine.reference import Reference
    from reverie.engine.tiles import Gradient


class Wraps(NamedTuple):
    """Which edges of a picture meet."""

    down: bool = False
    """The top goes on at the bottom."""
    across: bool = False
    """The left goes on at the right."""


FRAME = Wraps()
"""No edges meet."""

_KINDS = {"frame": FRAME, "tile": Wraps(True, True), "panorama": Wraps(False, True)}


def wraps_of(edges: str) -> Wraps:
    """Give what `Recipe.edges` means."""
    return _KINDS[edges]


def extend(image: Tensor, halo: int, wraps: Wraps) -> Tensor:
    """Add `halo` px from across each edge that meets another; a picture may go around repeatedly.

    >>> extend(torch.tensor([[[[1.0, 2.0, 3.0]]]]), 1, Wraps(across=True)).tolist()
    [[[[3.0, 1.0, 2.0, 3.0, 1.0]]]]
    """
    height, width = image.shape[2:]
    top, left = halo * wraps.down, halo * wraps.across
    rows = torch.arange(-top, height + top, device=image.device) % height
    columns = torch.arange(-left, width + left, device=image.device) % width
    result = empty((*image.shape[:2], len(rows), len(columns)), like=image)
    for band in bands(result):
        result[:, :, band] = image.index_select(2, rows[band]).index_select(3, columns)
        hand_back(image)
    return result


def fold(gradient: Tensor, halo: int, wraps: Wraps) -> Tensor:
    """Add what came to each copy of a pixel: the adjoint of `extend`.

    >>> fold(torch.tensor([[[[1.0, 10.0, 10.0, 10.0, 2.0]]]]), 1, Wraps(across=True)).tolist()
    [[[[12.0, 10.0, 11.0]]]]
    """
    for dim, wrapped in ((2, wraps.down), (3, wraps.across)):
        if wrapped:
            length = gradient.shape[dim] - 2 * halo
            # By slices, whose order of adding is always the same, unlike index_add's on a GPU.
            first = -halo // length * length + halo  # where the first copy would begin
            total = gradient.narrow(dim, halo, length).clone()
            for start in range(first, gradient.shape[dim], length):
                low, high = max(start, 0), min(start + length, gradient.shape[dim])
                if start != halo and low < high:
                    total.narrow(dim, low - start, high - low).add_(
                        gradient.narrow(dim, low, high - low)
                    )
            gradient = total
    return gradient


def folded(gradient: Gradient, halo: int, wraps: Wraps) -> Gradient:
    """Make a gradient that sees pictures with a halo from across the edge, as a whole.

    For objectives that are no mean over positions: they count in what is seen, the halo included,
    and what they ask of a pixel's copies is added up.
    """

    def wrapped(
        image: Tensor, shift: tuple[int, int], *reference: Reference
    ) -> tuple[Tensor, Tensor]:
        def seen(picture: Tensor) -> Tensor:
            return extend(torch.roll(picture, shift, dims=(2, 3)), halo, wraps)

        values, found = gradient(seen(image), (0, 0), *(every.mapped(seen) for every in reference))
        back = (-shift[0], -shift[1])
        return values, torch.roll(fold(found, halo, wraps), back, dims=(2, 3))

    return wrapped


def around(change: Callable[[Tensor], Tensor], image: Tensor, halo: int, wraps: Wraps) -> Tensor:
    """Change a picture by what knows no edges that meet, and looks `halo` px around.

    Returns:
        `image`, written over, unless no edges meet: then what `change` gives.
    """
    if wraps == FRAME:
        return change(image)
    changed = change(extend(image, halo, wraps))
    top, left = halo * wraps.down, halo * wraps.across
    for rows in bands(image, changed):
        seen = slice(rows.start + top, rows.stop + top)
        image[:, :, rows] = changed[:, :, seen, left : left + image.shape[3]]
    return image
