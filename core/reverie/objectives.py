"""Objectives: what a dream climbs, as one small algebra (lucid's), and the built-in terms.

An objective turns the activations of some layers into one value for each picture; the engine
climbs it. Terms combine with + and -, and with numbers by *. Regularizers are objectives that one
subtracts. Values are means, not sums, so that weights mean the same at every size of picture.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, ParamSpec

from reverie.errors import ObjectiveError
from reverie.types import ObjectiveFactory, literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

P = ParamSpec("P")

INPUT = "input"
"""The name under which objectives find the picture itself, (N, 3, H, W) in 0..1."""
GUIDE = "guide:"
"""Stands before a layer's name where objectives find what the guide picture is in that layer."""


@dataclass(frozen=True)
class Objective:
    """Something to climb; add, subtract, and multiply by numbers to combine.

    >>> str(layer("eyes") - 0.5 * channel("creatures", 7))
    'layer("eyes") - 0.5*channel("creatures", 7)'
    """

    layers: frozenset[str]
    """The layers it looks at; `INPUT` is the picture itself."""
    value: Callable[[Mapping[str, Tensor]], Tensor]
    """From activations, each (N, C, H, W) float32, to one value for each picture: (N,)."""
    text: str = ""
    """How a recipe writes it; an `ObjectiveFactory` fills it in. Empty: no recipe can hold it."""
    is_local: bool = False
    """It is a mean over positions, so that a large picture may be climbed in tiles."""
    guides: frozenset[str] = frozenset()
    """The layers in which it looks at a guide picture as well, each (1, C, h, w) under `GUIDE`."""

    def __str__(self) -> str:
        return self.text

    def __add__(self, other: Objective) -> Objective:
        return _combine(self, other, 1, "+")

    def __sub__(self, other: Objective) -> Objective:
        return _combine(self, other, -1, "-")

    def __mul__(self, weight: float) -> Objective:
        if not isinstance(weight, Real):
            return NotImplemented
        written, factor = literal(weight), float(weight)
        return Objective(
            self.layers,
            lambda activations: factor * self.value(activations),
            self.text and f"{written}*{_grouped(self.text)}",
            self.is_local,
            self.guides,
        )

    __rmul__ = __mul__

    def __neg__(self) -> Objective:
        return Objective(
            self.layers,
            lambda activations: -self.value(activations),
            self.text and f"-{_grouped(self.text)}",
            self.is_local,
            self.guides,
        )

    def guided_by(self, seen: Mapping[str, Tensor]) -> Objective:
        """Give the objective with the guide's activations in it; no text can hold that one.

        Args:
            seen: by layer, what a network sees in the guide, (1, C, h, w).
        """
        if not self.guides:
            return self
        guide = {GUIDE + name: seen[name].detach() for name in self.guides}
        return Objective(
            self.layers,
            lambda activations: self.value({**activations, **guide}),
            is_local=self.is_local,
        )


def _combine(left: Objective, right: Objective, sign: int, symbol: str) -> Objective:
    if not isinstance(right, Objective):
        return NotImplemented
    return Objective(
        left.layers | right.layers,
        lambda activations: left.value(activations) + sign * right.value(activations),
        left.text and right.text and f"{left.text} {symbol} {_grouped(right.text)}",
        left.is_local and right.is_local,
        left.guides | right.guides,
    )


def _grouped(text: str) -> str:
    """Put parentheses around a sum or what starts with a minus; a product or call needs none."""
    depth = 0
    for char in re.sub(r"""\"[^\"]*\"|'[^']*'|e[+-]\d""", "", text):
        depth += (char == "(") - (char == ")")
        if char in "+-" and not depth:
            return f"({text})"
    return text


def objective(summary: str) -> Callable[[Callable[P, Objective]], ObjectiveFactory[P]]:
    """Make a factory, named like the function, of a function that gives an `Objective`.

    >>> @objective("The contrast inside a layer.")
    ... def contrast(name: str) -> Objective:
    ...     return Objective(frozenset({name}), lambda a: a[name].var(dim=(1, 2, 3)))
    >>> contrast("eyes").text
    'contrast("eyes")'
    """

    def decorate(make: Callable[P, Objective]) -> ObjectiveFactory[P]:
        return ObjectiveFactory(name=make.__name__, summary=summary, make=make)

    return decorate


def _local(name: str, value: Callable[[Mapping[str, Tensor]], Tensor]) -> Objective:
    return Objective(frozenset({name}), value, is_local=True)


@objective("Whatever a layer sees, more of it: the classic dream.")
def layer(name: str) -> Objective:
    """Half the mean of a layer's squared activations.

    Its gradient at the layer is the activations themselves, over their number.
    Source: Mordvintsev, Olah, Tyka 2015, dream.ipynb, objective_L2.
    """
    return _local(name, lambda a: a[name].square().mean(dim=(1, 2, 3)) / 2)


@objective("The mean of a layer: strong and weak features are raised alike.")
def mean(name: str) -> Objective:
    """The mean of a layer's activations. Source: TensorFlow's DeepDream tutorial, calc_loss."""
    return _local(name, lambda a: a[name].mean(dim=(1, 2, 3)))


@objective("One feature of a layer: eyes only, or petals only.")
def channel(name: str, index: int) -> Objective:
    """The mean of one channel, 0 for the first. Source: lucid, optvis/objectives.py, channel."""
    return _local(name, lambda a: _channel(a[name], name, index).mean(dim=(1, 2)))


@objective("One feature at one place of the picture.")
def neuron(name: str, index: int, x: float = 0.5, y: float = 0.5) -> Objective:
    """One channel where `x` and `y`, 0..1 from left and top, fall; the centre by default.

    Source: Erhan et al. 2009, Visualizing Higher-Layer Features of a Deep Network, section 4.
    """
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ObjectiveError(f"neuron: x={x}, y={y} is outside 0..1, left to right, top to bottom.")

    def value(activations: Mapping[str, Tensor]) -> Tensor:
        feature = _channel(activations[name], name, index)
        height, width = feature.shape[1:]
        return feature[:, min(int(y * height), height - 1), min(int(x * width), width - 1)]

    return Objective(frozenset({name}), value)


def _channel(activation: Tensor, name: str, index: int) -> Tensor:
    count = activation.shape[1]
    if not 0 <= index < count:
        raise ObjectiveError(f"channel: {index} is outside 0..{count - 1} of layer {name!r}.")
    return activation[:, index]


@objective("Whatever of a guide picture fits best: flowers where flowers might be.")
def guide(name: str) -> Objective:
    """The mean dot product of each position with what matches it best in the guide picture.

    Its gradient at a position is the guide's feature vector that has the largest dot product with
    the one there, over the layer's size. Source: Mordvintsev, Olah, Tyka 2015, dream.ipynb,
    objective_guide.
    """

    def value(activations: Mapping[str, Tensor]) -> Tensor:
        return (activations[name] * _best_match(activations[name], activations[GUIDE + name])).mean(
            dim=(1, 2, 3)
        )

    return Objective(frozenset({name}), value, is_local=True, guides=frozenset({name}))


_PRODUCTS = 2**24
"""Dot products that are computed at once: 64 MB."""


def _best_match(activation: Tensor, guide: Tensor) -> Tensor:
    """Find for each position of (N, C, H, W) that of (1, C, h, w) with the largest dot product."""
    vectors = guide.flatten(2)[0]  # (C, h*w)
    seen = activation.detach().flatten(2)  # (N, C, H*W)
    found = seen.new_empty(seen.shape)
    at_once = max(1, _PRODUCTS // (vectors.shape[1] * len(seen)))
    for start in range(0, seen.shape[2], at_once):
        part = slice(start, start + at_once)
        best = (seen[:, :, part].mT @ vectors).argmax(dim=2)  # (N, positions)
        found[:, :, part] = vectors[:, best].movedim(0, 1)
    return found.view_as(activation)


@objective("How rough the picture is; subtract it for smoother dreams.")
def total_variation() -> Objective:
    """The mean absolute difference of neighbouring pixels, on the scale 0..1.

    Anisotropic, and a mean where the paper has a sum.
    Source: Rudin, Osher, Fatemi 1992; Mahendran, Vedaldi 2015, section 3.2 with beta = 1.
    """

    def value(activations: Mapping[str, Tensor]) -> Tensor:
        image = activations[INPUT]
        down = image.diff(dim=2).abs().sum(dim=(1, 2, 3))
        right = image.diff(dim=3).abs().sum(dim=(1, 2, 3))
        return (down + right) / image[0].numel()

    return _local(INPUT, value)


BUILT_IN = (layer, mean, channel, neuron, guide, total_variation)
