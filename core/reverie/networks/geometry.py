"""How far each value of a recorded program sees, and how far apart its outputs are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn import functional

from reverie.networks.folding import is_convolution
from reverie.networks.pooling import avg_pool2d
from reverie.networks.program import PICTURE, Reshape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reverie.networks.program import Call, Program, Slot

aten = torch.ops.aten

_POOLS = {aten.max_pool2d_with_indices.default, aten.avg_pool2d.default, avg_pool2d}
_EVERYWHERE = {
    *("adaptive_avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d", "_softmax"),
    *("bmm", "baddbmm", "mm", "_attention", "cumsum", "sort", "topk", "flatten", "im2col"),
    *("group_norm", "instance_norm", "native_group_norm"),
    *("roll", "flip", "_fft_r2c", "_fft_c2r", "_fft_c2c", "grid_sampler_2d", "index", "gather"),
}
"""Functions of which one output may depend on the whole picture, or on a place far away."""
_MAP = len("NCHW")


class Geometry(NamedTuple):
    """Where a value of a program looks, in px of the picture."""

    field: float
    """Side of what one output sees; infinite where that is the whole picture or unknown."""
    stride: float
    """Between neighbouring outputs; below 1 where there are more of them than px."""
    grid: float
    """Parts of a picture that begin at multiples of it are seen as the whole picture is."""


def geometry(program: Program) -> dict[Slot, Geometry]:
    """Return where each value of a program looks.

    Source of the recursion: Araujo, Norris, Sim 2019, "Computing Receptive Fields of Convolutional
    Neural Networks".
    """
    found: dict[Slot, Geometry] = {PICTURE: Geometry(1.0, 1.0, 1.0)}
    shapes: dict[Slot, Sequence[int]] = {}
    for call in program.calls:
        before = [found[slot] for slot in call.inputs]
        field, jump, grid = (max(each) for each in zip(*before, strict=True))
        seen = shapes.get(call.inputs[0], ())
        size, stride = _kernel(call, seen)
        jump_after = jump * stride
        here = max(grid, jump_after, jump * _window(call, seen))
        for slot, shape in zip(call.outputs, call.shapes, strict=True):
            found[slot] = Geometry(field + (size - 1) * jump, jump_after, here)
            shapes[slot] = shape
    return found


def _window(call: Call, before: Sequence[int]) -> int:
    """Return the side of the windows into which a call cuts a map, as attention does; else 1."""
    if not isinstance(call.function, Reshape) or len(before) != _MAP:
        return 1
    rest, largest = list(call.shapes[0]), 1
    for side in before:
        parts = [rest.pop(0)] if rest else [side]
        while math.prod(parts) < side and rest:
            parts.append(rest.pop(0))
        if math.prod(parts) != side:
            return 1
        largest = max(largest, math.prod(parts[1:]))
    return largest


def _kernel(call: Call, before: Sequence[int]) -> tuple[float, float]:
    """Return how many inputs in a row an output of a call sees, and by how many they move on."""
    if is_convolution(call):
        _, weight, _, stride, _, dilation, is_transposed, *_ = call.args
        reach = max(d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True))
        step = max(stride)
        return (-(-reach // step), 1 / step) if is_transposed else (reach, step)
    if call.function in _POOLS:
        kernel = _largest(call.args[1])
        is_strided = len(call.args) > 2 and call.args[2]  # noqa: PLR2004
        return kernel, _largest(call.args[2]) if is_strided else kernel
    takes_own_statistics = _name(call) == "native_batch_norm" and call.args[5]
    if takes_own_statistics or _name(call) in _EVERYWHERE or _averages_places(call, before):
        return math.inf, 1
    return _resized(call, before)


def _resized(call: Call, before: Sequence[int]) -> tuple[float, float]:
    """Return the same for what changes the number of places by itself, such as pixel_unshuffle."""
    after: Sequence[int] = call.shapes[0] if call.shapes else ()
    is_map = len(before) == len(after) == _MAP
    if isinstance(call.function, Reshape):
        is_moved = len(before) >= _MAP and call.function.last < len("HW")
        return (math.inf if is_moved else 1), 1
    if call.function is functional.interpolate:
        size = call.kwargs.get("size", call.args[1] if len(call.args) > 1 else None)
        if size is not None:  # the same number of places for every picture
            return math.inf, 1
        return 2, before[-1] / after[-1] if is_map else 1
    if is_map and _name(call) in _RESIZERS:
        moves = max(old / max(new, 1) for old, new in zip(before[2:], after[2:], strict=True))
        return math.ceil(moves), moves
    is_strided = is_map and _name(call) == "slice" and call.args[1] in _PLACES
    return 1, call.args[4] if is_strided and len(call.args) > _STEP else 1


_RESIZERS = {"pixel_shuffle", "pixel_unshuffle", "upsample_nearest2d", "upsample_bilinear2d"}
_PLACES = {2, 3, -1, -2}
"""The axes of a map's rows and columns."""
_STEP = 4
"""Where a slice's arguments have its step."""
_AVERAGES = {"mean", "sum", "amax", "amin", "var", "var_mean", "std", "linalg_vector_norm"}


def _averages_places(call: Call, before: Sequence[int]) -> bool:
    """Tell a mean, sum or maximum over more than the channels, which come second or last."""
    if _name(call) not in _AVERAGES:
        return False
    named = [each for each in (*call.args[1:], call.kwargs.get("dim")) if isinstance(each, list)]
    axes = {dim % len(before) for dim in named[0]} if named else set(range(len(before)))
    return len(axes) > 1 or not axes <= {1, len(before) - 1}


def _name(call: Call) -> str:
    name = getattr(call.function, "__name__", type(call.function).__name__)
    return name.partition(".")[0]


def _largest(size: Any) -> int:
    return max(size) if isinstance(size, (tuple, list)) else int(size)
