"""Regions as nodes hand them on: masks that each picture of a batch takes its own of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reverie_comfyui import images

if TYPE_CHECKING:
    from torch import Tensor

    from reverie.recipe import Recipe

Regions = tuple[tuple["Tensor", str], ...]
"""Pairs of a MASK, (N, h, w) of any size, and an objective as a recipe writes it."""


def regions_for(regions: Regions, index: int) -> list[tuple[Tensor | None, str]]:
    """Give the regions of one picture of a batch, as `dream` takes them.

    Args:
        regions: of the batch; few masks are used again and again, in each region for itself.
        index: which picture it is.
    Raises:
        ImageError: a mask is no MASK.
    """
    return [(images.mask_for(mask, index), objective) for mask, objective in regions]


def look_at_guide(recipe: Recipe, regions: Regions) -> bool:
    """Tell whether a region looks at the guide, so that the recipe's own objective need not."""
    from reverie.engine import regions as engine

    return engine.look_at_guide(engine.recipes_of(recipe, regions))
