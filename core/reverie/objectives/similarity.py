"""The dot product of features, weighed by their cosine (lucid's `_dot_cossim`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reverie.errors import ObjectiveError

if TYPE_CHECKING:
    from torch import Tensor

_EPSILON = 1e-4
"""lucid's: keeps a cosine finite where nothing is active."""
_LEAST_COSINE = 0.1
"""lucid's: below this a cosine counts as much as here, so that it never turns the gradient."""
_HIGHEST_POWER = 16


def dot_by_cosine(one: Tensor, other: Tensor, power: float) -> Tensor:
    """Give (a . b) max(0.1, cos(a, b)) ** power at each position, (N, H, W).

    Args:
        one: (N, C, H, W).
        other: of a shape that fits to it.
        power: 0 leaves the dot product as it is.
    Source: lucid, optvis/objectives.py, _dot_cossim.
    """
    product = (one * other).sum(dim=1)
    if not power:
        return product
    cosine = product / _length(one) / _length(other)
    return product * cosine.clamp_min(_LEAST_COSINE) ** power


def check_power(call: str, power: float) -> None:
    """Raise ObjectiveError where a cosine cannot be raised to it."""
    if not 0 <= power <= _HIGHEST_POWER:
        raise ObjectiveError(f"{call}: cossim_power={power} is outside 0..{_HIGHEST_POWER}.")


def _length(features: Tensor) -> Tensor:
    # The square root of 0 has no gradient; clamped, it has 0.
    return features.square().sum(dim=1).clamp_min(_EPSILON**2).sqrt() + _EPSILON
