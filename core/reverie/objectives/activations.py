"""Objectives that look at the activations of one layer: all of it, or a part."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from reverie.errors import ObjectiveError
from reverie.objectives.algebra import Objective, local, objective
from reverie.objectives.similarity import check_power, dot_by_cosine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


@objective("Whatever a layer sees, more of it: the classic dream.")
def layer(name: str) -> Objective:
    """Half the mean of a layer's squared activations.

    Its gradient at the layer is the activations themselves, over their number.
    Source: Mordvintsev, Olah, Tyka 2015, dream.ipynb, objective_L2.
    """
    return local(name, lambda a: a[name].square().mean(dim=(1, 2, 3)) / 2)


@objective("The mean of a layer: strong and weak features are raised alike.")
def mean(name: str) -> Objective:
    """The mean of a layer's activations. Source: TensorFlow's DeepDream tutorial, calc_loss."""
    return local(name, lambda a: a[name].mean(dim=(1, 2, 3)))


@objective("The mean size of what a layer sees, whatever its sign.")
def absolute(name: str) -> Objective:
    """The mean magnitude of a layer's activations, mean |a|.

    After a ReLU it is `mean`; before one, or in a transformer, it raises what is below 0 downwards.
    Source: lucid, optvis/objectives.py, L1, there a sum.
    """
    return local(name, lambda a: a[name].abs().mean(dim=(1, 2, 3)))


@objective("One feature of a layer: eyes only, or petals only.")
def channel(name: str, index: int) -> Objective:
    """The mean of one channel, 0 for the first. Source: lucid, optvis/objectives.py, channel."""
    return local(name, lambda a: _channel(a[name], name, index).mean(dim=(1, 2)))


@objective("Several features of a layer at once.")
def channels(name: str, *indices: int) -> Objective:
    """The mean of some channels, each counted alike: mean of `channel(name, i)` over all i.

    Source: neural-dream, -channels with -channel_mode all.
    """
    if not indices:
        raise ObjectiveError(
            "channels: none is named; write their numbers, as channels(eyes, 3, 7)."
        )

    def value(activations: Mapping[str, Tensor]) -> Tensor:
        chosen = [_channel(activations[name], name, index).mean(dim=(1, 2)) for index in indices]
        return sum(chosen[1:], chosen[0]) / len(chosen)

    return local(name, value)


@objective("One feature at one place of the picture.")
def neuron(name: str, index: int, x: float = 0.5, y: float = 0.5) -> Objective:
    """One channel where `x` and `y`, 0..1 from left and top, fall; the centre by default.

    Source: Erhan et al. 2009, Visualizing Higher-Layer Features of a Deep Network, section 4.
    """
    _check_place("neuron", x, y)
    return Objective(
        frozenset({name}), lambda a: _at(_channel(a[name], name, index)[:, None], x, y)[:, 0]
    )


@objective("A mixture of features: a direction in the space of a layer's channels.")
def direction(name: str, weights: str, cossim_power: float = 0.0) -> Objective:
    """The mean over positions of (a . v) max(0.1, cos(a, v)) ** p, v of length 1.

    Args:
        name: the layer.
        weights: v as a text: channel:weight pairs, "7:1 12:-0.5", the others being 0, or one
            number for each channel. Its length does not count.
        cossim_power: p, 0..16; the higher, the purer: what else is active counts against it.
    Source: lucid, optvis/objectives.py, direction and _dot_cossim; v is not normalised there.
    """
    spread = _Direction("direction", name, weights, cossim_power)
    return local(name, lambda a: spread.along(a[name]).mean(dim=(1, 2)))


@objective("A mixture of features at one place of the picture.")
def direction_neuron(
    name: str, weights: str, x: float = 0.5, y: float = 0.5, cossim_power: float = 0.0
) -> Objective:
    """What `direction` averages, at one position only, found as `neuron` finds it.

    Source: lucid, optvis/objectives.py, direction_neuron.
    """
    _check_place("direction_neuron", x, y)
    spread = _Direction("direction_neuron", name, weights, cossim_power)
    return Objective(
        frozenset({name}), lambda a: spread.along(_at(a[name], x, y)[..., None, None])[:, 0, 0]
    )


class _Direction:
    """A direction in a layer's channels, and how far activations go along it."""

    def __init__(self, call: str, name: str, weights: str, power: float) -> None:
        check_power(call, power)
        self._call, self._name, self._power = call, name, power
        self._is_sparse, self._weights = _read(call, weights)

    def along(self, activation: Tensor) -> Tensor:
        """Give (N, H, W) for activations (N, C, H, W)."""
        return dot_by_cosine(activation, self._vector(activation), self._power)

    def _vector(self, activation: Tensor) -> Tensor:
        count = activation.shape[1]
        if not self._is_sparse and len(self._weights) != count:
            raise ObjectiveError(
                f"{self._call}: {len(self._weights)} numbers are given, and layer {self._name!r} "
                f"has {count} channels; give one for each, or pairs such as 7:1 12:-0.5."
            )
        vector = activation.new_zeros(count)
        for index, weight in self._weights:
            if index >= count:
                raise ObjectiveError(
                    f"{self._call}: channel {index} is outside 0..{count - 1} of layer "
                    f"{self._name!r}."
                )
            vector[index] = weight
        return vector.view(1, -1, 1, 1)


def _read(call: str, text: str) -> tuple[bool, list[tuple[int, float]]]:
    """Read a direction's text; give whether it is of pairs, and (channel, weight), length 1."""
    words = text.replace(",", " ").split()
    is_sparse = ":" in text
    try:
        pairs = [
            (int(word.partition(":")[0]), float(word.partition(":")[2]))
            if is_sparse
            else (number, float(word))
            for number, word in enumerate(words)
        ]
    except ValueError:
        pairs = []
    length = math.sqrt(sum(weight**2 for _, weight in pairs))
    is_good = len({index for index, _ in pairs}) == len(pairs) and min(pairs, default=(-1,))[0] >= 0
    if not (is_good and length and math.isfinite(length)):
        raise ObjectiveError(
            f"{call}: {text!r:.60} is no direction; write pairs channel:weight such as "
            '"7:1 12:-0.5", each channel once, or one number for each channel, not all 0.'
        )
    return is_sparse, [(index, weight / length) for index, weight in pairs]


def _check_place(call: str, x: float, y: float) -> None:
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ObjectiveError(f"{call}: x={x}, y={y} is outside 0..1, left to right, top to bottom.")


def _at(activation: Tensor, x: float, y: float) -> Tensor:
    """Give what is at one place of (N, C, H, W): (N, C)."""
    height, width = activation.shape[2:]
    return activation[:, :, min(int(y * height), height - 1), min(int(x * width), width - 1)]


def _channel(activation: Tensor, name: str, index: int) -> Tensor:
    count = activation.shape[1]
    if not 0 <= index < count:
        raise ObjectiveError(f"channel: {index} is outside 0..{count - 1} of layer {name!r}.")
    return activation[:, index]
