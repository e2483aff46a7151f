"""How much memory a gradient takes: an upper bound from the layers' sizes, the same every time.

Peaks over eight tiles of 1.3 to 1.7 megapixels, memory trimmed between them as with a limit, in MB
per megapixel, on two cores without a GPU:

    network, layer             widest   float32   mixed   bf16
    embedded, creatures            12       288     251    195
    SqueezeNet 1.0, fire8          24       401       -    282

The bound for other networks follows from these, and from one tile of each without trimming:
GoogLeNet, ResNet-50 and DenseNet-121, all 16 wide, 345 to 383 in float32; VGG-16, 64 wide, 1022.
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
        keeps_all: by autograd, which keeps what every layer gave; else only the widest counts.
    """
    last = max((layers[path].order for path in wanted), default=-1)
    blocks = {name.rpartition(".")[0] for name in layers}
    run = [layer for layer in layers.values() if layer.order <= last and layer.name not in blocks]
    widths = [layer.channels / layer.stride**2 if layer.stride else 0.0 for layer in run]
    widest = max(widths, default=0.0) or (_UNKNOWN if run else 0.0)
    kept = sum(widths) * dtype.itemsize if keeps_all else 0.0
    return round(_ALWAYS + _ALIVE * widest * (_SUM + dtype.itemsize) + kept)
