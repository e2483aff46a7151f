"""Objectives in which the pictures of a batch look at each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reverie.objectives.algebra import Objective, objective

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_LEAST = 1e-5
"""The smallest length of a Gram matrix that is divided by (lucid's epsilon, before its root)."""


@objective("Each picture of a batch becomes another: the many things that a feature means.")
def diversity(name: str) -> Objective:
    """Minus the sum of cosines between a picture's Gram matrix and those of the others.

    G_i = A_i A_i^T over a layer's channels; the value of picture i is -sum_{j != i} cos(G_i, G_j),
    0 for a picture alone. Pictures that are exactly alike stay so: they need different beginnings.
    Mix it with what all should show: channel(eyes, 3) + 300*diversity(eyes). A batch is climbed at
    once, and not in tiles.
    Source: lucid, optvis/objectives.py, diversity, which one subtracts there.
    """

    def value(activations: Mapping[str, Tensor]) -> Tensor:
        features = activations[name].flatten(2)
        grams = (features @ features.mT).flatten(1)
        # The square root of 0 has no gradient; clamped, it has 0.
        length = grams.square().sum(dim=1, keepdim=True).clamp_min(_LEAST**2).sqrt()
        units = grams / length
        cosines = units @ units.mT
        return cosines.diagonal() - cosines.sum(dim=1)

    return Objective(frozenset({name}), value, sees_batch=True)
