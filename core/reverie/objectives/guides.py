"""Objectives that look at a guide picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reverie.objectives.algebra import GUIDE, Objective, objective

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from reverie.networks.loading import LoadedNetwork


@objective("Whatever of a guide picture fits best: flowers where flowers might be.")
def guide(name: str = "") -> Objective:
    """The mean dot product of each position with what matches it best in the guide picture.

    Its gradient at a position is the guide's feature vector that has the largest dot product with
    the one there, over the layer's size. Without a layer it is the network's default layer.
    Source: Mordvintsev, Olah, Tyka 2015, dream.ipynb, objective_guide.
    """
    if not name:
        return _without_layer(guide)

    def value(activations: Mapping[str, Tensor]) -> Tensor:
        return (activations[name] * _best_match(activations[name], activations[GUIDE + name])).mean(
            dim=(1, 2, 3)
        )

    return Objective(frozenset({name}), value, is_local=True, guides=frozenset({name}))


@objective("As much of each feature as a guide picture has: its mood, wherever it may stand.")
def guide_mean(name: str = "") -> Objective:
    """Minus the mean squared distance of the layer's channel means from the guide's.

    -1/C sum_c (mean_xy a_c - mean_xy g_c)^2. It is no mean over positions, so a picture that does
    not fit into memory cannot be climbed in tiles. Without a layer it is the network's default.
    Source: Li et al. 2017, Demystifying Neural Style Transfer, the loss of batch normalisation's
    statistics, of which these are the means.
    """
    if not name:
        return _without_layer(guide_mean)

    def value(activations: Mapping[str, Tensor]) -> Tensor:
        means = activations[name].mean(dim=(2, 3))
        return -(means - activations[GUIDE + name].mean(dim=(2, 3))).square().mean(dim=1)

    return Objective(frozenset({name}), value, guides=frozenset({name}))


def _without_layer(make: Callable[[str], Objective]) -> Objective:
    """Stand for the objective of a network's default layer.

    To choose the layer in which picture and guide differ most was tried: on three pairs of pictures
    it was nearly always among the deepest (squared distance of the channel means over their
    squares), so that looking would mostly hide a constant.
    """

    def fitted(network: LoadedNetwork) -> Objective:
        return make(network.default_layer)

    def value(_activations: Mapping[str, Tensor]) -> Tensor:
        raise AssertionError("fit(network) says of which layer it is")

    return Objective(frozenset(), value, guides=frozenset({""}), fitted=fitted)


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
