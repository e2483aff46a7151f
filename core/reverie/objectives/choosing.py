"""Objectives that choose channels by how strong they are in this picture, each picture its own.

Strength is a channel's mean activation. It is looked up in the whole picture as it is when an
octave begins, or once, when the first does (`when="dream"`); then the mean of the chosen channels
is climbed, as `channels` does with numbers. Channels that are 0 everywhere in the picture, as most
are after a ReLU, have no gradient there, so `weakest` and `middling` pass them over. With a mask,
the whole picture is the rectangle that is dreamed: the selection and a margin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from reverie.errors import ObjectiveError
from reverie.objectives.algebra import Look, Objective, objective

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

_WHENS = ("octave", "dream")


@objective("The features that are strongest in this picture: it becomes more of what it is.")
def strongest(name: str, count: int = 1, when: str = "octave") -> Objective:
    """The mean of the `count` channels of a layer whose mean activation is highest.

    Source: neural-dream, -channel_mode strong.
    """
    return _some("strongest", name, count, when, lambda order, n: order[-n:])


@objective("The features that are weakest in this picture: what was never there.")
def weakest(name: str, count: int = 1, when: str = "octave") -> Objective:
    """The mean of the `count` channels of a layer whose mean activation is lowest.

    Of those that are not 0 all over, if there are so many.
    Source: neural-dream, -channel_mode weak, which takes the silent ones too.
    """
    return _some("weakest", name, count, when, lambda order, n: order[:n])


@objective("The features in the middle, neither strong nor weak in this picture.")
def middling(name: str, count: int = 1, when: str = "octave") -> Objective:
    """The mean of the `count` channels in the middle of the order of mean activation.

    Source: neural-dream, -channel_mode avg.
    """

    def middle(order: Tensor, count: int) -> Tensor:
        start = (len(order) - count) // 2
        return order[start : start + count]

    return _some("middling", name, count, when, middle)


@objective("All features that are stronger than the average in this picture.")
def above_average(name: str, when: str = "octave") -> Objective:
    """The mean of the channels whose mean activation is above that of the layer.

    All channels, where they are all alike.
    """

    def find(activation: Tensor) -> Tensor:
        strength = activation.mean(dim=(2, 3))
        chosen = (strength > strength.mean(dim=1, keepdim=True)).to(activation.dtype)
        chosen += (chosen.sum(dim=1, keepdim=True) == 0).to(activation.dtype)
        return chosen / chosen.sum(dim=1, keepdim=True)

    return _chosen("above_average", f"above_average:{name}:{when}", name, when, find)


def _some(
    call: str, name: str, count: int, when: str, pick: Callable[[Tensor, int], Tensor]
) -> Objective:
    """Choose `count` channels by their order of strength, weakest first."""
    if count < 1:
        raise ObjectiveError(f"{call}: count={count} is too few; choose at least 1 channel.")

    def find(activation: Tensor) -> Tensor:
        channels = activation.shape[1]
        if count > channels:
            raise ObjectiveError(f"{call}: count={count} is outside 1..{channels} of {name!r}.")
        # Stable: which of two channels that are alike is chosen must not be left to chance.
        orders = activation.mean(dim=(2, 3)).argsort(dim=1, stable=True)
        share = activation.new_zeros(orders.shape)
        for number, order in enumerate(orders):
            heard = order[activation[number, order].ne(0).flatten(1).any(dim=1)]
            share[number, pick(heard if len(heard) >= count else order, count)] = 1 / count
        return share

    return _chosen(call, f"{call}:{name}:{count}:{when}", name, when, find)


def _chosen(
    call: str, key: str, name: str, when: str, find: Callable[[Tensor], Tensor]
) -> Objective:
    if when not in _WHENS:
        raise ObjectiveError(f"{call}: when={when!r} is not one of {', '.join(_WHENS)}.")

    def value(activations: Mapping[str, Tensor]) -> Tensor:
        return (activations[name].mean(dim=(2, 3)) * activations[key]).sum(dim=1)

    moment = cast("Literal['octave', 'dream']", when)
    look = Look(key=key, at=name, find=find, when=moment)
    return Objective(frozenset({name}), value, is_local=True, looks=(look,))
