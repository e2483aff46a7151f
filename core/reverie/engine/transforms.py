"""Transform robustness: before each step the picture is turned, scaled, mirrored, padded, cropped.

What only excites the network at one angle, size or place is then no way up: grain goes, and shapes
that stay themselves grow. The gradient comes back through the same transform, exactly. Source:
Olah, Mordvintsev, Schubert 2017, Feature Visualization, "Transformation robustness"; lucid,
optvis/transform.py, standard_transforms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from reverie.engine.canvas import bands, empty, hand_back
from reverie.engine.wrapping import FRAME, wraps_of
from reverie.errors import RecipeError
from reverie.objectives.regularizers import GREY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reverie.engine.reference import Reference
    from reverie.engine.tiles import Gradient
    from reverie.engine.wrapping import Wraps
    from reverie.recipe import Recipe

WINDOW = 0.5
"""The side of a crop, as a share of the picture's."""
COPIES = 3
"""Pictures that are kept besides: what is seen, its gradient, and that brought back."""
_BLOCK = 512
"""px; what is seen is sampled in squares of this side, so that little of a picture is read."""
_SALT = 0x7AB5_F0


@dataclass(frozen=True)
class View:
    """One way to look at a picture: a rotated, scaled, mirrored window, sampled bilinearly.

    The pixel at (y, x) from the view's middle shows what is at M (y, x) + `middle` in the picture,
    M = [[cos a, -sin a], [sin a, cos a]] / z for an angle a and a zoom z, its second column negated
    where it is mirrored. What lies outside of the picture is what lies across edges that meet, else
    the picture reflected at its edges, or mid grey where it is padded.
    """

    size: tuple[int, int]
    """Height and width in px of what is seen."""
    matrix: tuple[tuple[float, float], tuple[float, float]]
    """M, from px of the view to px of the picture, down first."""
    middle: tuple[float, float]
    """Where the view's middle is, in px of the picture from its top left corner."""
    is_padded: bool = False
    """Outside is mid grey; else reflected."""
    wraps: Wraps = FRAME
    """Which of the picture's edges meet."""

    def see(self, image: Tensor) -> Tensor:
        """Give what is seen of pictures (N, C, H, W), in a file if they are."""
        result = empty((*image.shape[:2], *self.size), like=image).to(image.dtype)
        for rows, columns in _blocks(self.size):
            window, grid = self._window(rows, columns, image)
            result[:, :, rows, columns] = self._sampled(window.cut(image), grid)
            hand_back(image, result)
        return result

    def back(self, gradient: Tensor, size: tuple[int, int]) -> Tensor:
        """Bring a gradient of what is seen to pictures of this (H, W): the adjoint of `see`."""
        result = empty((*gradient.shape[:2], *size), like=gradient).to(gradient.dtype)
        for rows in bands(result):
            result[:, :, rows] = 0
        for rows, columns in _blocks(self.size):
            window, grid = self._window(rows, columns, result)
            shape = (*gradient.shape[:2], *window.size)
            window.add(result, _spread(gradient[:, :, rows, columns], grid, shape, self._outside))
            hand_back(gradient, result)
        return result

    @property
    def _outside(self) -> str:
        return "zeros" if self.is_padded else "border"

    def _sampled(self, window: Tensor, grid: Tensor) -> Tensor:
        grey = GREY if self.is_padded else 0.0
        seen = functional.grid_sample(
            window - grey, grid, padding_mode=self._outside, align_corners=True
        )
        return seen + grey

    def _window(self, rows: slice, columns: slice, image: Tensor) -> tuple[_Window, Tensor]:
        """Give the part of a picture that a block of the view shows, and where in it, -1..1."""
        spans, grid = [], []
        places = self._places(rows, columns)
        for place, length, meet in zip(places, image.shape[2:], self.wraps, strict=True):
            at = place if meet or self.is_padded else _reflected(place, length)
            low, high = at.aminmax()
            first, last = math.floor(low), math.floor(high) + 2
            if not meet:
                first = max(0, min(first, length - 2))
                last = min(length, max(last, first + 2))
            spans.append(list(_spans(first, last, length)))
            grid.append((at - first) * (2 / max(1, last - first - 1)) - 1)
        found = torch.stack([grid[1], grid[0]], dim=-1)[None].to(image.device, image.dtype)
        return _Window(spans[0], spans[1]), found.expand(len(image), -1, -1, -1)

    def _places(self, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        """Where in the picture the pixels of a block are, as rows and columns counted from 0."""
        y, x = (
            torch.arange(each.start, each.stop, dtype=torch.float64, device="cpu") + 0.5 - side / 2
            for each, side in zip((rows, columns), self.size, strict=True)
        )
        (a, b), (c, d) = self.matrix
        down = a * y[:, None] + b * x[None] + (self.middle[0] - 0.5)
        across = c * y[:, None] + d * x[None] + (self.middle[1] - 0.5)
        return down, across


@dataclass(frozen=True)
class _Window:
    """A part of a picture, of several pieces where it goes on across edges that meet."""

    rows: list[slice]
    columns: list[slice]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in px."""
        height, width = (sum(s.stop - s.start for s in each) for each in (self.rows, self.columns))
        return height, width

    def cut(self, image: Tensor) -> Tensor:
        """Give it of pictures (N, C, H, W); no copy if it is of one piece."""
        strips = [_joined([image[:, :, r, c] for c in self.columns], dim=3) for r in self.rows]
        return _joined(strips, dim=2)

    def add(self, image: Tensor, part: Tensor) -> None:
        """Add to it in place, piece after piece: the adjoint of `cut`."""
        top = 0
        for rows in self.rows:
            bottom, left = top + rows.stop - rows.start, 0
            for columns in self.columns:
                right = left + columns.stop - columns.start
                image[:, :, rows, columns] += part[:, :, top:bottom, left:right]
                left = right
            top = bottom


def _joined(parts: list[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


def _spans(first: int, last: int, length: int) -> Iterator[slice]:
    """Cut first..last at the edges, where counting begins anew."""
    while first < last:
        start = first % length
        stop = min(length, start + last - first)
        yield slice(start, stop)
        first += stop - start


def _blocks(size: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    for top in range(0, size[0], _BLOCK):
        for left in range(0, size[1], _BLOCK):
            yield (
                slice(top, min(top + _BLOCK, size[0])),
                slice(left, min(left + _BLOCK, size[1])),
            )


def _reflected(place: Tensor, length: int) -> Tensor:
    """Fold places outside of 0..length - 1 back inside, at the outer edges of the last pixels."""
    folded = (place + 0.5).remainder(2 * length)
    return (torch.minimum(folded, 2 * length - folded) - 0.5).clamp(0, length - 1)


def _spread(gradient: Tensor, grid: Tensor, shape: Sequence[int], outside: str) -> Tensor:
    """The adjoint of `grid_sample`, with an order of adding that is always the same."""
    if gradient.device.type != "cpu":  # grid_sample's own adds in any order there
        return _spread_in_order(gradient, grid, shape, outside)
    with torch.enable_grad():
        window = gradient.new_zeros(tuple(shape)).requires_grad_()
        seen = functional.grid_sample(window, grid, padding_mode=outside, align_corners=True)
        product = (seen * gradient).sum()  # given a gradient, PyTorch imports SymPy: 1.5 s
    (found,) = torch.autograd.grad(product, window)
    return found


def _spread_in_order(gradient: Tensor, grid: Tensor, shape: Sequence[int], outside: str) -> Tensor:
    """Add each pixel to its four neighbours by index_put_, which sorts first on a GPU."""
    count, channels, height, width = shape
    across, down = ((grid[0, ..., k] + 1) * (side - 1) / 2 for k, side in ((0, width), (1, height)))
    if outside == "border":
        across, down = across.clamp(0, width - 1), down.clamp(0, height - 1)
    top, left = down.floor(), across.floor()
    result = gradient.new_zeros((height * width, count * channels))
    values = gradient.permute(2, 3, 0, 1).reshape(-1, count * channels)
    for row in (0, 1):
        for column in (0, 1):
            y, x = top + row, left + column
            weight = (1 - (down - y).abs()) * (1 - (across - x).abs())
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            at = y.clamp(0, height - 1).long() * width + x.clamp(0, width - 1).long()
            share = (weight * inside).flatten()[:, None]
            result.index_put_((at.flatten(),), values * share, accumulate=True)
    return result.view(height, width, count, channels).permute(2, 3, 0, 1)


class Views:
    """Draws the views of step after step from a recipe's seed.

    One view shows the whole picture, with `pad` px more on each side, turned by an angle in
    -rotate..rotate, enlarged by a zoom in 1 - scale..1 + scale, and mirrored every second time if
    `flip`. With `crops` there are so many views, each half as wide and high, their middles anywhere
    in the picture, so that every pixel is seen as often (reflected, edges count as much). Where
    edges meet, no place is the middle: a view's is anywhere between them, so that its own edges,
    at which the network sees its padding, lie nowhere in particular. All are uniform. lucid draws
    angles and zooms from short lists instead, and shifts without going around.

    Args:
        recipe: says which transforms, and how far they go.
        smallest: px; the network sees nothing in a smaller picture.
    """

    def __init__(self, recipe: Recipe, smallest: int) -> None:
        self._recipe = recipe
        self._smallest = smallest
        self._generator = torch.Generator(device="cpu").manual_seed(recipe.seed ^ _SALT)

    def draw(self, size: tuple[int, int]) -> list[View]:
        """Draw the views of one step on a picture of this (height, width)."""
        return [self._view(size) for _ in range(max(1, self._recipe.crops))]

    def _view(self, size: tuple[int, int]) -> View:
        recipe = self._recipe
        # Always five numbers, so that one more transform leaves the others as they were.
        drawn = torch.rand(5, generator=self._generator, dtype=torch.float64, device="cpu").tolist()
        angle = math.radians(recipe.rotate) * (2 * drawn[0] - 1)
        zoom = 1 + recipe.scale * (2 * drawn[1] - 1)
        side = -1 if recipe.flip and drawn[2] < 1 / 2 else 1
        canvas = [length + 2 * recipe.pad for length in size]
        wraps = wraps_of(recipe.edges)
        pairs = zip(canvas, wraps, strict=True)
        seen = [max(whole, self._smallest) if meet else whole for whole, meet in pairs]
        if recipe.crops:
            # Odd, so that a window has a pixel in its middle, and nothing is blurred.
            seen = [max(round(WINDOW * whole), self._smallest) | 1 for whole in canvas]
        middle = [
            math.floor(place * whole) + (length % 2) / 2 - recipe.pad
            if recipe.crops or meet
            else (whole / 2 - recipe.pad)
            for place, whole, length, meet in zip(drawn[3:], canvas, seen, wraps, strict=True)
        ]
        cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
        return View(
            size=(seen[0], seen[1]),
            matrix=((cos, -sin * side), (sin, cos * side)),
            middle=(middle[0], middle[1]),
            is_padded=recipe.pad > 0,
            wraps=wraps,
        )


def is_transformed(recipe: Recipe) -> bool:
    """Tell whether a recipe has any transform but jitter."""
    return bool(recipe.rotate or recipe.scale or recipe.flip or recipe.pad or recipe.crops)


def transformed(gradient: Gradient, recipe: Recipe, smallest: int) -> Gradient:
    """Make a gradient that sees pictures through random views, another in each step.

    The mean of an objective over the views is climbed: its gradient is the mean of theirs, each
    brought back through its view. Jitter shifts what is seen, but not crops, nor across edges that
    meet: those views lie at random anyway. What an objective compares with is seen through the
    same view. A view is of the whole picture; what is seen is cut into tiles.

    Args:
        gradient: of what is seen.
        recipe: says which transforms.
        smallest: px; the network sees nothing in a smaller picture.
    Raises:
        RecipeError: the recipe's edges meet, and a border would part them.
    """
    if not is_transformed(recipe):
        return gradient
    wraps = wraps_of(recipe.edges)
    if recipe.pad and wraps != FRAME:
        raise RecipeError(
            f"pad: {recipe.pad} does not go together with edges {recipe.edges!r}: a border would "
            "part edges that meet; set pad to 0, or edges to frame."
        )
    views = Views(recipe, smallest)

    def seen_through(
        image: Tensor, shift: tuple[int, int], *reference: Reference
    ) -> tuple[Tensor, Tensor]:
        size = (image.shape[2], image.shape[3])
        drawn = views.draw(size)
        around = (shift[0] * (not wraps.down), shift[1] * (not wraps.across))
        values, total = image.new_zeros(len(image)), None
        for view in drawn:
            beside = [each.mapped(view.see) for each in reference]
            value, found = gradient(view.see(image), (0, 0) if recipe.crops else around, *beside)
            found = view.back(found, size)
            values = values + value / len(drawn)
            total = found if total is None else _added(total, found)
        assert total is not None  # noqa: S101 - there is at least one view
        return values, _shared(total, len(drawn))

    return seen_through


def _added(total: Tensor, more: Tensor) -> Tensor:
    for rows in bands(total, more):
        total[:, :, rows] += more[:, :, rows]
    return total


def _shared(total: Tensor, count: int) -> Tensor:
    for rows in bands(total) if count > 1 else ():
        total[:, :, rows] /= count
    return total
