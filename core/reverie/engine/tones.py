"""What holds a picture's colours and tones near the original's, after every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reverie.engine.anchoring import Anchor
from reverie.engine.colour import colour_of

if TYPE_CHECKING:
    from torch import Tensor

    from reverie.recipe import Recipe


class Tones:
    """Holds pictures as `Recipe.colour` and `Recipe.anchor` say; by default not at all.

    Args:
        recipe: says how.
        base: the original pictures at their full size, (N, 3, H, W).
    """

    def __init__(self, recipe: Recipe, base: Tensor) -> None:
        self._recipe = recipe
        self._colour = colour_of(recipe.colour, base)
        self._anchor: Anchor | None = None

    def begin(self, original: Tensor, mask: Tensor | None) -> None:
        """Begin an octave.

        Args:
            original: the pictures at its size.
            mask: (N or 1, 1, h, w) in 0..1; None is 1 everywhere.
        """
        self._original = original
        self._anchor = Anchor(original, mask) if self._recipe.anchor else None

    def along(self, gradient: Tensor) -> Tensor:
        """Leave of a gradient, which is written over, what may move the picture."""
        return gradient if self._colour is None else self._colour.along(gradient)

    def hold(self, picture: Tensor) -> bool:
        """Bring pictures back in place; False if there is nothing to hold.

        Tones come first, so that colours are as they should be at the end.
        """
        if self._anchor is not None:
            self._anchor.pull(picture, self._recipe.anchor)
        if self._colour is not None:
            self._colour.hold(picture, self._original, clip=self._recipe.clip)
        return self._anchor is not None or self._colour is not None
