"""How much memory a gradient takes: an upper bound from the layers' sizes, the same every time.

Peaks over eight tiles of 1.3 to 1.7 megapixels, memory trimmed between them as with a limit, in MB
per megapixel, on two cores without a GPU:

    network, layer             widest   kept   float32   mixed   bf16
    SqueezeNet 1.0, fire8          24      0       401       -    282

The bound for other networks follows from these, and from tiles of each without trimming: GoogLeNet,
ResNet-50 and DenseNet-121, all 16 wide, 345 to 383 in float32; VGG-16, 64 wide, 1022. Three runs of
the embedded network to creatures, 8 wide and 77 kept: 492 to 506 in float32, 441 to 502 mixed, 304
to 333 in bf16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import torch

    from reverie.networks.layers import Layer

_ALWAYS = 140
"""Bytes per px for the picture's tile, its gradient, and what does not grow with the network."""
_ALIVE = 1.75
"""How many maps of the widest layer's size there are at once, in each of the two precisions."""
_LEAN = {
    *("Conv2d", "ReLU", "BatchNorm2d", "MaxPool2d", "AvgPool2d", "Identity", "Dropout"),
    *("Dropout2d", "ReLU6", "Hardtanh", "ZeroPad2d"),
}
"""Of these the engine keeps no values for the way back: nothing, bits, or winners."""
_TIMES = {"EnergyPool2d": 5, "LocalResponseNorm": 2}
"""These keep what came out, and what went in: for a pool of energy four times as much."""
_SUM = 4
"""Bytes of a value in float32, the precision of the objective and of the picture."""
_UNKNOWN = 64
"""Values per px of networks that lose position, so that no layer tells its size."""


def bytes_per_pixel(
    layers: Mapping[str, Layer], wanted: Iterable[str], dtype: torch.dtype, *, keeps_all: bool
) -> int:
    """Give the bytes of working memory that one px of a picture needs for its gradient.

    Args:
        layers: the network's, by name.
        wanted: the paths of those the objective looks at; what comes after them does not run.
        dtype: of the way forward.
        keeps_all: by autograd, which keeps what every layer gave; else only what the engine needs
            for the way back, and the widest layer, count.
    """
    last = max((layers[path].order for path in wanted), default=-1)
    blocks = {name.rpartition(".")[0] for name in layers}
    run = [layer for layer in layers.values() if layer.order <= last and layer.name not in blocks]
    widest = max(map(_values, run), default=0.0) or (_UNKNOWN if run else 0.0)
    kept = sum(_values(layer) if keeps_all else _kept(layer) for layer in run)
    return round(_ALWAYS + _ALIVE * widest * (_SUM + dtype.itemsize) + kept * dtype.itemsize)


def _values(layer: Layer) -> float:
    """How many values a layer gives for a px of the picture."""
    return layer.channels / layer.stride**2 if layer.stride else 0.0


def _kept(layer: Layer) -> float:
    """How many of them wait for the way back, at most."""
    if layer.kind in _LEAN:
        return 0.0
    return _values(layer) * _TIMES.get(layer.kind, 1)
