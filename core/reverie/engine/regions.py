"""Regions: different objectives in different places of one picture, climbed as one gradient.

Each objective is climbed where its mask is white, the recipe's own everywhere else. Their gradients
may differ by orders of magnitude, so each is first divided by its mean magnitude inside its own
mask:

    g = sum_r w_r g_r / s_r,   s_r = sum(w_r |g_r|) / (3 sum(w_r))

w_r are the masks, divided by their sum where they overlap to more than 1; what they leave of 1
weighs the recipe's objective. One step then follows g as it would any gradient, so that shapes grow
across soft borders. The sum of objectives weighted by place is lucid's (Olah, Mordvintsev, Schubert
2017, Feature Visualization, "Combining objectives"); the normalisation is google/deepdream's
(dream.ipynb, make_step), for each region by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from reverie.engine.canvas import bands, copied, empty, taken_by
from reverie.engine.octaves import resize
from reverie.engine.selection import select
from reverie.errors import ObjectiveError
from reverie.grammar import parse_objective
from reverie.image import to_mask
from reverie.plugins import registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reverie.engine.prepare import Climb
    from reverie.engine.reference import Reference
    from reverie.engine.selection import Area
    from reverie.engine.tiles import Gradient
    from reverie.objectives import Objective
    from reverie.recipe import Recipe

Region = tuple[Any, "str | Objective"]
"""A mask, as `dream` takes it, and what to climb there, as a recipe's objective."""

_NOTHING = 1e-4
"""A share of the recipe's own objective below this is rounding."""


def recipes_of(recipe: Recipe, regions: Sequence[Any]) -> list[Recipe]:
    """Give for each region the recipe with its objective.

    Raises:
        ObjectiveError: a region is no pair.
        RecipeError: an objective is none.
    """
    found = []
    for region in regions:
        if not isinstance(region, (tuple, list)) or len(region) != 2:  # noqa: PLR2004
            raise ObjectiveError(
                f"regions: {region!r:.60} is not a region; give pairs of a mask and an objective."
            )
        found.append(recipe.evolve(objective=region[1]))
    return found


def look_at_guide(recipes: Sequence[Recipe]) -> bool:
    """Tell whether one of these recipes names an objective that looks at a guide."""
    return any(
        parse_objective(recipe.objective, registry().objectives()).needs_guide
        for recipe in recipes
        if recipe.objective.strip()
    )


def weights_of(regions: Sequence[Region], pixels: Tensor) -> list[Tensor]:
    """Give how much each objective counts at each pixel, the recipe's own first; they sum to 1.

    Args:
        regions: at least one.
        pixels: the pictures, (N, 3, H, W).
    Returns:
        Of each, (N or 1, 1, H, W) in 0..1.
    Raises:
        ImageError: a mask is none, or does not fit.
    """
    masks = [to_mask(mask, pixels) for mask, _ in regions]
    total = masks[0].clone()
    for mask in masks[1:]:
        total = total + mask
    over = total.clamp_min(1)
    rest = 1 - total
    rest[rest < _NOTHING] = 0
    return [rest, *(mask / over for mask in masks)]


@dataclass(frozen=True)
class Sides:
    """What several objectives look at besides the picture, each what it needs."""

    of_each: tuple[tuple[Reference, ...], ...]


class Looks:
    """Looks at whole pictures when an octave begins, for several objectives."""

    target = None
    """Each objective has its own."""

    def __init__(self, climbs: Sequence[Climb]) -> None:
        self._climbs = climbs

    def __call__(self, picture: Tensor, original: Tensor, before: Sides | None = None) -> Sides:
        """Look; see `Glances`."""
        had = [()] * len(self._climbs) if before is None else before.of_each
        return Sides(
            tuple(
                climb.beside(picture, original, *each)
                for climb, each in zip(self._climbs, had, strict=True)
            )
        )


def together(climbs: Sequence[Climb]) -> Climb:
    """Give what holds for several objectives on one picture; the gradient is still the first's.

    Raises:
        ObjectiveError: a region's objective has corrections, which change the whole picture.
    """
    for climb in climbs[1:]:
        for correction in climb.corrections:
            raise ObjectiveError(
                f"regions: {climb.recipe.objective} has {correction.kind}, which changes the whole "
                "picture; subtract it from the recipe's own objective."
            )
    reaches = [climb.reach for climb in climbs]
    known = [reach for reach in reaches if reach is not None]
    return replace(
        climbs[0],
        smallest_side=max(climb.smallest_side for climb in climbs),
        reach=max(known) if len(known) == len(reaches) else None,
        stride=max(climb.stride for climb in climbs),
        footprint=max(climb.footprint for climb in climbs),
        halo=max(climb.halo for climb in climbs),
        lays_guide=any(climb.lays_guide for climb in climbs),
    )


def kept_by_regions(regions: int, shape: Sequence[int], *, in_file: bool) -> int:
    """Give the bytes of one gradient more, and of maps of weights at full size and the octave's.

    Args:
        regions: how many there are.
        shape: of the pictures, (N, 3, H, W).
        in_file: the pictures live in files.
    """
    maps = regions + 1
    return taken_by(shape, in_file=in_file) * (3 + 2 * maps) // 12 if regions else 0


def merged(climbs: Sequence[Climb], weights: Sequence[Tensor]) -> Gradient:
    """Make one gradient of several, each seen only around where it counts.

    Args:
        climbs: the objectives'.
        weights: of each, (N or 1, 1, H, W), at the pictures' full size; they are brought to the
            size of each octave.
    Returns:
        A gradient whose values are the sum of all objectives that count anywhere.
    """

    @lru_cache(maxsize=1)
    def at_size(size: tuple[int, int]) -> list[tuple[int, Climb, Area]]:
        found = []
        for number, (climb, weight) in enumerate(zip(climbs, weights, strict=True)):
            here = resize(weight, size, wraps=climb.wraps).clamp(0, 1)
            margin = climb.margin
            if margin is not None:
                margin = max(margin, climb.smallest_side)
            stand_in = here.new_zeros(()).expand(1, 3, *size)
            area = select(stand_in, here, margin, climb.stride)
            if area.pixels.numel() and bool((here > 0).any()):
                found.append((number, climb, area))
        return found

    def gradient(image: Tensor, shift: tuple[int, int], *sides: Sides) -> tuple[Tensor, Tensor]:
        total = empty(image.shape, like=image)
        for rows in bands(total):
            total[:, :, rows] = 0
        values = image.new_zeros(len(image))
        for number, climb, area in at_size((image.shape[2], image.shape[3])):
            cut = partial(_cut, area=area)
            beside = [each.mapped(cut) for every in sides for each in every.of_each[number]]
            part = total[:, :, area.rows, area.columns]
            value, found = climb.gradient(cut(image), shift, *beside)
            assert area.mask is not None  # noqa: S101 - there is one for each
            _add(part, found, area.mask)
            values = values + value
        return values, total

    return gradient


def _cut(image: Tensor, area: Area) -> Tensor:
    seen = image[:, :, area.rows, area.columns]
    return seen if seen.is_contiguous() else copied(seen)


def _add(total: Tensor, gradient: Tensor, weight: Tensor) -> None:
    """Add a gradient, divided by its mean magnitude where it counts, as much as it counts."""
    lengths, counts = [], []
    for rows in bands(gradient, weight):
        here = weight[:, :, rows]
        lengths.append((gradient[:, :, rows].abs() * here).sum(dim=(1, 2, 3)))
        counts.append(here.sum(dim=(1, 2, 3)))
    count = torch.stack(counts).sum(dim=0) * gradient.shape[1]
    tiny = torch.finfo(gradient.dtype).tiny
    scale = (torch.stack(lengths).sum(dim=0) / count.clamp_min(tiny)).clamp_min(tiny)
    for rows in bands(total, gradient, weight):
        share = weight[:, :, rows] / scale.view(-1, 1, 1, 1)
        total[:, :, rows].addcmul_(gradient[:, :, rows], share)
