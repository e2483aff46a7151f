"""The algebra of objectives (lucid's): what one is, and how + - * / combine them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Literal, ParamSpec

from reverie.errors import ObjectiveError
from reverie.types import ObjectiveFactory, literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from reverie.networks.loading import LoadedNetwork

P = ParamSpec("P")

INPUT = "input"
"""The name under which objectives find the picture itself, (N, 3, H, W) in 0..1."""
GUIDE = "guide:"
"""Stands before a layer's name where objectives find what the guide picture is in that layer."""
ORIGINAL = "original:"
"""The same for the undreamed picture: at this octave's size, rolled and cut as the dreamed one."""
TARGET = "target:"
"""The same for the guide laid over the whole picture, stretched to its size."""


@dataclass(frozen=True)
class Look:
    """One thing to find out about whole pictures before an octave is climbed.

    What depends on the whole picture, such as which channels are strongest, is found out once; then
    each step, and each tile, climbs an objective in which it is a constant.
    """

    key: str
    """Under this the objective finds it; two looks with one key are the same look."""
    at: str
    """What to look at: a layer, `INPUT`, or one of them after `ORIGINAL` or `TARGET`."""
    find: Callable[[Tensor], Tensor]
    """From activations (N, C, H, W) float32 to one row for each picture, (N, ...)."""
    when: Literal["octave", "dream"] = "octave"
    """Look at the start of each octave, or only at that of the first."""


@dataclass(frozen=True)
class Correction:
    """Something done to the picture after a step; an objective subtracts it, as a penalty.

    What each kind does is in engine/correcting.py.
    """

    kind: Literal["blur", "clip_small_norm", "clip_small_contribution"]
    strength: float
    """Sigma in px of a blur; of the others, the percentage of pixels that go grey."""
    every: int = 1
    """After each, or each second, third ... step of an octave."""
    weight: float = 1.0
    """As it stands in the sum: -1 where it is subtracted; times `strength` it is what is done."""


@dataclass(frozen=True)
class Objective:
    """Something to climb; add, subtract, multiply and divide by numbers to combine.

    >>> from reverie.objectives import channel, layer
    >>> str(layer("eyes") - 0.5 * channel("creatures", 7))
    'layer("eyes") - 0.5*channel("creatures", 7)'
    """

    layers: frozenset[str]
    """The layers it looks at, in whatever picture; `INPUT` is the picture itself."""
    value: Callable[[Mapping[str, Tensor]], Tensor]
    """From activations, each (N, C, H, W) float32, to one value for each picture: (N,)."""
    text: str = ""
    """How a recipe writes it; an `ObjectiveFactory` fills it in. Empty: no recipe can hold it."""
    is_local: bool = False
    """It is a mean over positions, so that a large picture may be climbed in tiles."""
    guides: frozenset[str] = frozenset()
    """The layers in which it looks at a guide picture as well, each (1, C, h, w) under `GUIDE`."""
    references: frozenset[str] = frozenset()
    """What else it looks at: layers after `ORIGINAL` or `TARGET`, each shaped like the layer."""
    looks: tuple[Look, ...] = ()
    """What it wants to know of whole pictures beforehand."""
    corrections: tuple[Correction, ...] = ()
    """What is done to the picture after each step."""
    sees_batch: bool = False
    """The pictures of a batch look at each other, so that they must be climbed together."""
    fitted: Callable[[LoadedNetwork], Objective] | None = None
    """Says what it is for one network, where that is not the same for all: a class's logit."""

    def __str__(self) -> str:
        return self.text

    @property
    def needs_guide(self) -> bool:
        """It looks at a guide picture."""
        return bool(self.guides) or self.lays_guide

    @property
    def lays_guide(self) -> bool:
        """It compares with a guide picture place by place, laid over the whole picture."""
        return any(name.startswith(TARGET) for name in self.references)

    @property
    def needs_references(self) -> bool:
        """A step needs more than the picture: another one, or what was found out beforehand."""
        return bool(self.references or self.looks)

    def __add__(self, other: Objective) -> Objective:
        return _combine(self, other, 1, "+")

    def __sub__(self, other: Objective) -> Objective:
        return _combine(self, other, -1, "-")

    def __mul__(self, weight: float) -> Objective:
        if not isinstance(weight, Real):
            return NotImplemented
        written = literal(weight)
        return _scaled(self, float(weight), lambda text: f"{written}*{_grouped(text)}")

    __rmul__ = __mul__

    def __truediv__(self, number: float) -> Objective:
        if not isinstance(number, Real):
            return NotImplemented
        written, divisor = literal(number), float(number)
        if divisor < 0:  # the grammar has no sign there
            return -(self / -number)
        if not divisor or not math.isfinite(1 / divisor):
            raise ObjectiveError(
                f"objective: it cannot be divided by {written}; divide by a number that is not 0."
            )
        return _scaled(self, 1 / divisor, lambda text: f"{_grouped(text, '+-*')}/{written}")

    def __neg__(self) -> Objective:
        return _scaled(self, -1.0, lambda text: f"-{_grouped(text)}")

    def fit(self, network: LoadedNetwork) -> Objective:
        """Give the objective for one network: the layer of its classes, the number of a word.

        Raises:
            ReverieError: the network has no classes, or none of that name.
        """
        if self.fitted is None:
            return self
        found = self.fitted(network)
        return replace(found, text=found.text or self.text)

    def guided_by(self, seen: Mapping[str, Tensor]) -> Objective:
        """Give the objective with the guide's activations in it; no text can hold that one.

        Args:
            seen: by layer, what a network sees in the guide, (1, C, h, w).
        """
        if not self.guides:
            return self
        guide = {GUIDE + name: seen[name].detach() for name in self.guides}
        return replace(
            self,
            value=lambda activations: self.value({**activations, **guide}),
            text="",
            guides=frozenset(),
        )


def _scaled(objective: Objective, factor: float, write: Callable[[str], str]) -> Objective:
    fitted = objective.fitted
    return replace(
        objective,
        value=lambda activations: factor * objective.value(activations),
        text=objective.text and write(objective.text),
        corrections=tuple(
            replace(each, weight=factor * each.weight) for each in objective.corrections
        ),
        fitted=fitted and (lambda network: _scaled(fitted(network), factor, write)),
    )


def _combine(left: Objective, right: Objective, sign: int, symbol: str) -> Objective:
    if not isinstance(right, Objective):
        return NotImplemented
    turned = right.corrections if sign > 0 else (-right).corrections
    looks = {look.key: look for look in (*left.looks, *right.looks)}
    is_open = left.fitted is not None or right.fitted is not None
    return Objective(
        layers=left.layers | right.layers,
        value=lambda activations: left.value(activations) + sign * right.value(activations),
        text=left.text and right.text and f"{left.text} {symbol} {_grouped(right.text)}",
        is_local=left.is_local and right.is_local,
        guides=left.guides | right.guides,
        references=left.references | right.references,
        looks=tuple(looks.values()),
        corrections=left.corrections + turned,
        sees_batch=left.sees_batch or right.sees_batch,
        fitted=(lambda network: _combine(left.fit(network), right.fit(network), sign, symbol))
        if is_open
        else None,
    )


def _grouped(text: str, ending: str = "+-") -> str:
    """Put parentheses around a text that one of these symbols would tear apart: a sum, or more."""
    depth = 0
    for char in re.sub(r"""\"[^\"]*\"|'[^']*'|e[+-]\d""", "", text):
        depth += (char == "(") - (char == ")")
        if char in ending and not depth:
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


def local(name: str, value: Callable[[Mapping[str, Tensor]], Tensor]) -> Objective:
    """Make an objective that is a mean over the positions of one layer."""
    return Objective(frozenset({name}), value, is_local=True)
