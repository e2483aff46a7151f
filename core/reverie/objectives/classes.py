"""The objective of a classifier's class."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING

from reverie.errors import ObjectiveError, unknown_name
from reverie.objectives.activations import channel
from reverie.objectives.algebra import Objective, objective

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from reverie.networks.loading import LoadedNetwork


@objective("One class that a classifier knows: more of what makes it say tabby, or volcano.")
def logit(word: str | int) -> Objective:
    """The logit of a class: what the network gives for it before the softmax.

    The mean over positions where a network classifies each (SqueezeNet, before its last ReLU).

    Args:
        word: one of the network's words, in any case, or the class's number, 0 for the first.
            `reverie networks words NAME` lists them.
    Source: Simonyan, Vedaldi, Zisserman 2014, Deep Inside Convolutional Networks, section 2: S_c,
    because the probability can also be raised by lowering all other classes.
    """
    given: object = word
    if not isinstance(given, (str, Integral)):
        raise ObjectiveError(f"logit: word is {word!r}, neither a word nor a whole number.")

    def fitted(network: LoadedNetwork) -> Objective:
        head = network.head
        index = _index(network, word) if isinstance(word, str) else int(word)
        if not 0 <= index < head.channels:
            raise ObjectiveError(
                f"logit: {index} is outside 0..{head.channels - 1}, the classes of "
                f"{network.record.name!r}."
            )
        found = channel(head.name, index)
        # With its position a network loses that a part of a picture has a class of its own.
        return Objective(found.layers, found.value, is_local=head.stride is not None)

    def value(_activations: Mapping[str, Tensor]) -> Tensor:
        raise AssertionError("fit(network) says which layer and channel it is")

    return Objective(frozenset(), value, fitted=fitted)


def _index(network: LoadedNetwork, word: str) -> int:
    words: Sequence[str] = network.words
    if not words:
        raise ObjectiveError(
            f"logit: the {network.head.channels} classes of {network.record.name!r} with these "
            f"weights have no words, so {word!r} is none; write a class's number."
        )
    found = [n for n, each in enumerate(words) if each.casefold() == word.strip().casefold()]
    if len(found) > 1:
        raise ObjectiveError(
            f"logit: {word!r} is the word of the classes {' and '.join(map(str, found))}; write "
            "one of these numbers."
        )
    if not found:
        remedy = f"List them with: reverie networks words {network.record.name}"
        raise ObjectiveError(f"logit: {unknown_name('class', word, words, remedy)}")
    return found[0]
