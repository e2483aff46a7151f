"""What becomes of a picture's colours while it climbs.

Brightness is the luma of Rec. 709 on the values as they are stored (gamma-coded, for most pictures
sRGB): Y' = 0.2126 R + 0.7152 G + 0.0722 B; chroma is (B - Y', R - Y'), which is zero for greys
(ITU-R BT.709-6, items 3.2 and 3.3, whose C'B and C'R are these, scaled). Both are linear, so that
the gradient can be projected exactly: adding the same number to red, green and blue changes Y' by
it and leaves chroma as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from reverie.engine.canvas import bands

if TYPE_CHECKING:
    from torch import Tensor

    from reverie.engine.reference import Reference
    from reverie.engine.tiles import Gradient

LUMA = (0.2126, 0.7152, 0.0722)
"""The share of red, green and blue in brightness (ITU-R BT.709-6, item 3.2)."""
CELLS = 128
"""Cells of chroma on each axis, over -1..1: a cell is 4 grey levels wide."""
COMMON = 0.995
"""The share of a picture's pixels whose chroma makes the palette: single odd pixels do not."""
_AT_ONCE = 256
"""Cells whose distances to all of the palette are computed at once."""


class Colour(Protocol):
    """Holds the colours of pictures while they climb."""

    def along(self, gradient: Tensor) -> Tensor:
        """Leave of a gradient (N, 3, H, W), which is written over, what may move the picture."""

    def hold(self, picture: Tensor, original: Tensor, *, clip: bool) -> None:
        """Bring pictures back, in place, to the colours that they may have.

        A pixel that is its original's stays, bit for bit, unless its colour is none of the palette.

        Args:
            picture: (N, 3, H, W).
            original: shaped like it.
            clip: keep the pictures in 0..1.
        """


def colour_of(kind: str, base: Tensor) -> Colour | None:
    """Give what `Recipe.colour` means for pictures (N, 3, H, W); None leaves colours free."""
    if kind == "free":
        return None
    return Palette(base) if kind == "palette" else Chroma()


class Chroma:
    """Every pixel keeps its original's chroma; only brightness changes.

    The steepest way up among those changes is the gradient's projection on grey: at each pixel the
    mean of the three channels. Where a channel would leave 0..1, brightness stops, so that chroma
    holds there too.
    """

    def along(self, gradient: Tensor) -> Tensor:
        """Project each pixel's gradient on grey."""
        for rows in bands(gradient):
            part = gradient[:, :, rows]
            part.copy_(part.mean(dim=1, keepdim=True).expand_as(part))
        return gradient

    def hold(self, picture: Tensor, original: Tensor, *, clip: bool) -> None:
        """Take of the change since the original only that of brightness."""
        for rows in bands(picture, original):
            part, before = picture[:, :, rows], original[:, :, rows]
            change = luma(part - before)
            if clip:
                lowest = (-before.amin(dim=1, keepdim=True)).clamp_max(0)
                highest = (1 - before.amax(dim=1, keepdim=True)).clamp_min(0)
                change = torch.minimum(torch.maximum(change, lowest), highest)
            torch.add(before, change, out=part)


class Palette:
    """Chroma stays among that of the original: the nearest that occurs there is taken.

    The plane of chroma is cut into cells; those with 99.5 % of a picture's pixels, its commonest,
    are its palette. A colour outside moves to the nearest cell of it, at its brightness. Like the
    gamut masks of painters (James Gurney, Color and Light, 2010), with the mask cut by the
    picture itself.

    Args:
        base: the original pictures, (N, 3, H, W); each has its own palette.
    """

    def __init__(self, base: Tensor) -> None:
        self._ways = torch.stack([_way_back(picture[None]) for picture in base])

    def along(self, gradient: Tensor) -> Tensor:
        """Leave the gradient: within the palette every change is allowed."""
        return gradient

    def hold(self, picture: Tensor, original: Tensor, *, clip: bool) -> None:
        """Move colours outside of the palette to the nearest in it."""
        red, green, blue = LUMA
        for rows in bands(picture, original):
            part = picture[:, :, rows]
            cells = _cell_of(part)
            for number, way in enumerate(self._ways):
                of_blue, of_red = way[:, cells[number]]
                part[number, 0] += of_red
                part[number, 2] += of_blue
                part[number, 1] -= (red * of_red + blue * of_blue) / green  # brightness stays
            if clip:
                part.clamp_(0, 1)


def luma(image: Tensor) -> Tensor:
    """Give the brightness of (N, 3, H, W) as (N, 1, H, W).

    >>> float(luma(torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)))
    0.2125999927520752
    """
    red, green, blue = LUMA
    return red * image[:, :1] + green * image[:, 1:2] + blue * image[:, 2:]


def seen_in_grey(gradient: Gradient) -> Gradient:
    """Let a network see only brightness; the gradient then is brightness's, in all channels."""

    def grey(image: Tensor) -> Tensor:
        return luma(image).expand(-1, 3, -1, -1).contiguous()

    def in_grey(
        image: Tensor, shift: tuple[int, int] = (0, 0), *reference: Reference
    ) -> tuple[Tensor, Tensor]:
        values, found = gradient(grey(image), shift, *(every.mapped(grey) for every in reference))
        # The chain rule: all three channels are brightness, which moves with each of them alike.
        return values, found.sum(dim=1, keepdim=True).expand_as(found).contiguous()

    return in_grey


def _cell_of(image: Tensor) -> Tensor:
    """Number the cell of chroma in which each pixel of (N, 3, H, W) lies: (N, H, W)."""
    brightness = luma(image)[:, 0]
    of_blue = _axis(image[:, 2] - brightness)
    return of_blue * CELLS + _axis(image[:, 0] - brightness)


def _axis(chroma: Tensor) -> Tensor:
    return ((chroma + 1) * (CELLS / 2)).long().clamp_(0, CELLS - 1)


def _way_back(base: Tensor) -> Tensor:
    """For each cell of chroma, how far (B - Y', R - Y') are to the palette: (2, CELLS**2)."""
    counts = torch.zeros(CELLS**2, dtype=torch.long, device="cpu")
    for rows in bands(base):
        counts += torch.bincount(_cell_of(base[:, :, rows]).flatten(), minlength=CELLS**2).cpu()
    common = counts.argsort(descending=True, stable=True)
    before = counts[common].cumsum(0) - counts[common]  # pixels of commoner cells
    most = COMMON * float(counts.sum())
    allowed = common[(before.double() < most) & (counts[common] > 0)]
    all_cells = torch.arange(CELLS**2, device="cpu")
    places = torch.stack([all_cells // CELLS, all_cells % CELLS], dim=1).float()
    nearest = torch.cat(
        [
            allowed[torch.cdist(places[start : start + _AT_ONCE], places[allowed]).argmin(dim=1)]
            for start in range(0, len(places), _AT_ONCE)
        ]
    )
    way = (places[nearest] - places).T / (CELLS / 2)
    return way.contiguous().to(base.device)
