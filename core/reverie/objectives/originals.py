"""Objectives that compare with another picture place by place: the original, or the guide.

The original is the undreamed picture at the octave's size; with `of="guide"` it is the guide,
stretched over the whole picture. Either is seen rolled and cut into tiles as the dreamed one is,
which costs another run of the network, forward only, in each step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reverie.errors import ObjectiveError
from reverie.objectives.algebra import ORIGINAL, TARGET, Look, Objective, objective
from reverie.objectives.similarity import check_power, dot_by_cosine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_LEAST = 1e-8
"""The smallest mean square that a distance is divided by."""
_PREFIXES = {"original": ORIGINAL, "guide": TARGET}


@objective("Back to what the original shows in a layer, from wherever the dream begins.")
def invert(name: str, of: str = "original") -> Objective:
    """Minus the squared distance from the features of the original or the guide, normalised.

    -||a - o||^2 / ||o||^2. At the original itself it is 0 and flat: begin somewhere else, take
    `of="guide"`, or let it hold other terms back. ||o||^2 is that of the whole picture, taken when
    an octave begins.
    Source: Mahendran, Vedaldi 2015, Understanding Deep Image Representations by Inverting Them,
    the normalised Euclidean loss of "Balancing the different terms".
    """
    other = _prefix("invert", of) + name
    key = f"mean square of {other}"
    look = Look(key=key, at=other, find=lambda o: o.square().mean(dim=(1, 2, 3)))

    def value(activations: Mapping[str, Tensor]) -> Tensor:
        apart = (activations[name] - activations[other]).square().mean(dim=(1, 2, 3))
        return -apart / activations[key].clamp_min(_LEAST)

    return Objective(
        frozenset({name}), value, is_local=True, references=frozenset({other}), looks=(look,)
    )


@objective("What a layer sees in the original, exaggerated.")
def caricature(name: str, cossim_power: float = 1.0, of: str = "original") -> Objective:
    """The mean over positions of (a . o) / C max(0.1, cos(a, o)) ** p, o the original's features.

    Args:
        name: the layer.
        cossim_power: p, 0..16; the higher, the truer to the original's proportions.
        of: "original" or "guide".
    Source: lucid, recipes/caricature.py, dot_compare; there over the whole layer, and what it calls
    a cosine is not divided by the length of a. Here by position, so that tiles see the same.
    """
    check_power("caricature", cossim_power)
    other = _prefix("caricature", of) + name

    def value(activations: Mapping[str, Tensor]) -> Tensor:
        seen = activations[name]
        return (
            dot_by_cosine(seen, activations[other], cossim_power).mean(dim=(1, 2)) / seen.shape[1]
        )

    return Objective(frozenset({name}), value, is_local=True, references=frozenset({other}))


def _prefix(call: str, of: str) -> str:
    if of not in _PREFIXES:
        raise ObjectiveError(f"{call}: of={of!r} is not one of {', '.join(_PREFIXES)}.")
    return _PREFIXES[of]
