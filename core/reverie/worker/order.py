"""What a client asks for in a dream, checked before anything is sent or loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.errors import RecipeError
from reverie.plugins import find, registry
from reverie.recipe import Recipe, migrate
from reverie.worker.messages import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_SIDE = 262144
"""px"""
LARGEST_FRAME = 1024
"""px"""
MOST_REGIONS = 16
"""Of one dream: each has a mask that is kept, and a gradient in every step."""


@dataclass(frozen=True)
class Box:
    """A rectangle of a picture, in px."""

    x: int
    y: int
    width: int
    height: int

    @property
    def rows(self) -> slice:
        """Its rows, in the picture's."""
        return slice(self.y, self.y + self.height)

    @property
    def columns(self) -> slice:
        """Its columns."""
        return slice(self.x, self.x + self.width)

    @property
    def is_empty(self) -> bool:
        """It holds nothing."""
        return min(self.width, self.height) < 1

    def fits_into(self, width: int, height: int) -> bool:
        """It lies inside a picture of this size."""
        fits = self.x + self.width <= width and self.y + self.height <= height
        return min(self.x, self.y) >= 0 and fits

    def within(self, outer: Box) -> Box:
        """The same rectangle, counted from another's corner."""
        return Box(self.x - outer.x, self.y - outer.y, self.width, self.height)

    def as_list(self) -> list[int]:
        """As messages have it."""
        return [self.x, self.y, self.width, self.height]


@dataclass(frozen=True, kw_only=True)
class Order:
    """One dream, as asked for."""

    recipe: Recipe
    width: int
    height: int
    select: Box
    """What may change."""
    has_mask: bool
    frames: int
    """Longest side in px of the frames; 0: none."""
    guide: Path | None = None
    """The file of the picture that a guided objective looks at."""
    regions: tuple[str, ...] = ()
    """Objectives that are climbed where masks say, of which one comes for each."""
    notices: tuple[str, ...] = ()
    """Sentences that the user should read."""

    @property
    def is_whole(self) -> bool:
        """All of the picture may change."""
        return (self.select.width, self.select.height) == (self.width, self.height)


def read_order(request: Mapping[str, Any]) -> Order:
    """Read a request to dream.

    Raises:
        RecipeError: recipe or preset are not valid.
        ReverieError: there is no such preset.
        ProtocolError: anything else is not as the protocol says.
    """
    if "bytes" in request:
        raise ProtocolError("bytes: none belong to a request; pixels follow when they are due.")
    recipe, notices = _recipe(request)
    width = _number(request, "width", 1, LARGEST_SIDE)
    height = _number(request, "height", 1, LARGEST_SIDE)
    has_mask = request.get("mask", False)
    if not isinstance(has_mask, bool):
        raise ProtocolError(f"mask: {has_mask!r:.40} is neither true nor false.")
    return Order(
        recipe=recipe,
        width=width,
        height=height,
        select=_select(request, width, height),
        has_mask=has_mask,
        frames=_number(request, "frames", 0, LARGEST_FRAME, 0),
        guide=_guide(request),
        regions=_regions(request),
        notices=notices,
    )


def _recipe(request: Mapping[str, Any]) -> tuple[Recipe, tuple[str, ...]]:
    given = request.get("recipe", {})
    if not isinstance(given, dict):
        raise RecipeError("recipe: a recipe is a JSON object such as {}.")
    name = request.get("preset", "")
    if not isinstance(name, str):
        raise ProtocolError(f"preset: {name!r:.40} is not a name.")
    own = Recipe(**migrate(given))
    if not name:
        return own, ()
    preset = find("preset", registry().presets(), name)
    recipe = preset.recipe.evolve(**own.model_dump(exclude_unset=True))
    notices = [f"{preset.name}: {preset.notice}"] if preset.notice else []
    network, its = (r.network.partition(":")[0] for r in (recipe, preset.recipe))
    if network != its and preset.recipe.objective and "objective" not in own.model_fields_set:
        recipe = recipe.evolve(objective="")
        notices.append(f"{network} has other layers than {its}: its default is dreamed.")
    return recipe, tuple(notices)


def _number(
    request: Mapping[str, Any], key: str, least: int, most: int, default: int | None = None
) -> int:
    value = request.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ProtocolError(f"{key}: {value!r:.40} is not a whole number in {least}..{most}.")
    return value


def _guide(request: Mapping[str, Any]) -> Path | None:
    given = request.get("guide")
    if given is None:
        return None
    if not isinstance(given, str) or "\0" in given or not Path(given).is_absolute():
        raise ProtocolError(f"guide: {given!r:.60} is not the absolute path of a file.")
    return Path(given)


def _regions(request: Mapping[str, Any]) -> tuple[str, ...]:
    given = request.get("regions", [])
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise ProtocolError(f"regions: {given!r:.60} is not a list of objectives.")
    if len(given) > MOST_REGIONS:
        raise ProtocolError(f"regions: {len(given)} are too many; {MOST_REGIONS} are allowed.")
    return tuple(given)


def _select(request: Mapping[str, Any], width: int, height: int) -> Box:
    given = request.get("select")
    if given is None:
        return Box(0, 0, width, height)
    if isinstance(given, list) and [type(each) for each in given] == [int] * 4:
        box = Box(*given)
        if not box.is_empty and box.fits_into(width, height):
            return box
    raise ProtocolError(
        f"select: {given!r:.60} is not [x, y, width, height] inside a picture of "
        f"{width} x {height} px."
    )
