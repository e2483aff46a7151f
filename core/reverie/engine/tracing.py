"""Turns a recorded program into the operations of operations.py."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.nn import functional

from reverie.engine.kernels import NOBODY, Window
from reverie.engine.operations import (
    Add,
    AvgPool,
    Concat,
    Convolution,
    EnergyPool,
    Gate,
    LocalResponse,
    MaxPool,
    Operation,
    Relu,
    Scale,
    Segment,
    Silu,
    pair,
    read_once,
)
from reverie.networks.folding import is_convolution, scaled
from reverie.networks.pooling import avg_pool2d
from reverie.networks.program import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from reverie.networks.program import Call, Program, Slot

aten = torch.ops.aten


@dataclass(frozen=True)
class Traced:
    """A network as operations in the order in which they run."""

    operations: list[Operation]
    layers: Mapping[str, Slot]
    """Where the layers asked for are, by path; the picture is `PICTURE`."""


def trace(program: Program, dtype: torch.dtype, back: torch.dtype) -> Traced:
    """Find the operations that lead from a picture to some layers.

    Args:
        program: on its device and in the precision of the forward.
        dtype: the precision of the forward.
        back: the precision of the backward.
    """
    wanted = set(program.layers.values())
    operations: list[Operation] = []
    row: list[Call] = []
    later = _read_later(program)
    read = wanted.union(program.users())

    def end_row() -> None:
        if row:
            last = program.calls.index(row[-1])
            operations.append(Segment(row.copy(), wanted | later[last], dtype))
            row.clear()

    joint = {**_pools_of_energy(program), **_padded_convolutions(program, back)}
    parts = {part for several, _ in joint.values() for part in several}
    for call in program.calls:
        if call in parts and call not in joint:
            continue
        operation = joint[call][1] if call in joint else _operation_of(call, back)
        if read.intersection(call.outputs[1:]):  # a pool's indices, for one
            operation = None
        if operation is None:
            row.append(call)
            continue
        end_row()
        operations.append(operation)
    end_row()
    return Traced(_gated(operations, wanted), program.layers)


def _read_later(program: Program) -> list[set[Slot]]:
    """Return for each call what the calls after it read."""
    found: list[set[Slot]] = [set()]
    for call in reversed(program.calls[1:]):
        found.append(found[-1] | set(call.inputs))
    return found[::-1]


def _operation_of(call: Call, back: torch.dtype) -> Operation | None:
    """Make the operation of a call; None if it is unknown, or of other than maps."""
    if len(call.shapes[0]) != _MAP:
        return None
    if _is_flat_convolution(call):
        return Convolution(call, back)
    make = _OPERATIONS.get(call.function)
    return None if make is None else make(call)


_MAP = len("NCHW")


def _is_flat_convolution(call: Call) -> bool:
    """Tell a two-dimensional convolution, not transposed."""
    return is_convolution(call) and len(call.shapes[0]) == _MAP and not call.args[6]


def _clamp(call: Call) -> Operation | None:
    """Make a ReLU of a clamp from 0 up to a number, or without end."""
    given = _named(call, ("min", "max"))
    low, high = given.get("min"), given.get("max")
    if low != 0 or not (high is None or (isinstance(high, (int, float)) and high > 0)):
        return None
    return Relu(call.inputs, call.outputs, math.inf if high is None else float(high))


def _sum(call: Call) -> Operation | None:
    """Make the sum of two values made of the picture, without a factor."""
    is_plain = len(call.args) == len(call.inputs) == 2 and not call.kwargs  # noqa: PLR2004
    return Add(call.inputs, call.outputs) if is_plain else None


def _join(call: Call) -> Operation | None:
    """Make what lays values made of the picture one after the other along the channels."""
    parts, *rest = call.args
    axis = call.kwargs.get("dim", rest[0] if rest else 0)
    is_whole = axis in {1, 1 - _MAP} and len(call.inputs) == len(parts)
    return Concat(call.inputs, call.outputs) if is_whole else None


def _named(call: Call, names: Sequence[str]) -> dict[str, Any]:
    """Name the arguments after the first."""
    return {**dict(zip(names, call.args[1:], strict=False)), **call.kwargs}


def _pool(call: Call, given: Mapping[str, Any]) -> Operation | None:
    is_dilated = pair(given.get("dilation") or 1) != (1, 1)
    kernel = pair(given["kernel_size"])
    if is_dilated or given.get("divisor_override") or kernel[0] * kernel[1] > NOBODY:
        return None
    window = Window(
        kernel=kernel,
        stride=pair(given.get("stride") or given["kernel_size"]),
        padding=pair(given.get("padding") or 0),
        ceil_mode=bool(given.get("ceil_mode")),
    )
    ends = (call.inputs, call.outputs[:1])
    if call.function is not avg_pool2d:
        return MaxPool(*ends, window)
    return AvgPool(*ends, window, count_include_pad=given.get("count_include_pad") is not False)


_MAX_POOL = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
_AVG_POOL = (
    *("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
)
_OPERATIONS: Mapping[Any, Callable[[Call], Operation | None]] = {
    scaled: lambda call: Scale(call.inputs, call.outputs, *call.args[1:]),
    aten.relu.default: lambda call: Relu(call.inputs, call.outputs),
    aten.hardtanh.default: _clamp,
    aten.clamp.default: _clamp,
    aten.clamp_min.default: _clamp,
    aten.silu.default: lambda call: Silu(call.inputs, call.outputs),
    aten.add.Tensor: _sum,
    aten.cat.default: _join,
    aten.max_pool2d_with_indices.default: lambda call: _pool(call, _named(call, _MAX_POOL)),
    avg_pool2d: lambda call: _pool(call, _named(call, _AVG_POOL)),
    functional.local_response_norm: lambda call: LocalResponse(
        call.inputs, call.outputs, *call.args[1:], **call.kwargs
    ),
}
"""What is known, by the function called."""
_Joint = dict["Call", tuple[list["Call"], Operation]]
"""Operations of several calls, by the last of them."""


def _padded_convolutions(program: Program, back: torch.dtype) -> _Joint:
    """Find convolutions of what zeros were laid around, unevenly, as TensorFlow does."""
    before = _Makers(program)
    found: _Joint = {}
    for call in program.calls:
        padding = before.of(call) if _is_flat_convolution(call) else None
        if padding is None or padding.function is not aten.constant_pad_nd.default:
            continue
        image, zeros, *value = padding.args
        if len(zeros) == _MAP and min(zeros) >= 0 and not any(value):
            operation = Convolution(call, back, image.slot, zeros)
            found[call] = ([padding, call], operation)
    return found


def _pools_of_energy(program: Program) -> _Joint:
    """Find each root of a mean of squares, sqrt(avg_pool2d(x ** 2) + quiet)."""
    before = _Makers(program)
    found: _Joint = {}
    for root in program.calls:
        total = before.of(root) if root.function is aten.sqrt.default else None
        mean = before.of(total) if total and total.function is aten.add.Tensor else None
        square = before.of(mean) if mean and mean.function is avg_pool2d else None
        if not (total and mean and square and square.function is aten.pow.Tensor_Scalar):
            continue
        quiet, power = total.args[1], square.args[1]
        pool = _pool(mean, _named(mean, _AVG_POOL))
        if not isinstance(pool, AvgPool) or (any(pool.window.padding) and pool.count_include_pad):
            continue
        if power == 2 and isinstance(quiet, (int, float)):  # noqa: PLR2004
            operation = EnergyPool(square.inputs, root.outputs, pool.window, float(quiet))
            found[root] = ([square, mean, total, root], operation)
    return found


class _Makers:
    """Finds the call that made what another one reads, where nobody else reads it."""

    def __init__(self, program: Program) -> None:
        self._makers = {slot: call for call in program.calls for slot in call.outputs}
        self._alone = {slot for slot, by in program.users().items() if len(by) == 1}
        self._alone -= set(program.layers.values())

    def of(self, call: Call) -> Call | None:
        """Return who made the first argument."""
        value = call.args[0]
        is_alone = isinstance(value, Value) and value.slot in self._alone
        return self._makers.get(value.slot) if is_alone else None


def _gated(operations: list[Operation], wanted: Collection[Slot]) -> list[Operation]:
    """Let each ReLU be done by what comes before it, and keep only the masks that are needed."""
    kept = _summed(_fused(operations, wanted), wanted)
    users: dict[Slot, list[Operation]] = {}
    for operation in kept:
        for slot in operation.inputs:
            users.setdefault(slot, []).append(operation)
    gated = _closed_at_zero(kept)
    # Backwards: whether a Concat masks decides what the ReLUs before it must do.
    for operation in reversed(kept):
        slot = operation.outputs[0]
        is_masked_later = slot not in wanted and all(
            (isinstance(user, MaxPool) and user.is_closed)
            or (isinstance(user, Concat) and user.outputs[0] in gated)
            for user in users.get(slot, ())
        )
        if isinstance(operation, Gate):
            operation.keeps_mask = operation.is_relu and not is_masked_later
        elif isinstance(operation, Concat):
            operation.keeps_mask = slot in gated and not is_masked_later
    return kept


def _fused(operations: list[Operation], wanted: Collection[Slot]) -> list[Operation]:
    """Give each ReLU to the operation before it, where nobody else reads what that gives."""
    makers = {slot: op for op in operations for slot in op.outputs}
    once = read_once(operations, wanted)
    kept = []
    for operation in operations:
        before = makers.get(operation.inputs[0]) if isinstance(operation, Relu) else None
        if isinstance(before, Gate) and before.outputs[0] in once and not before.is_relu:
            before.end_in(cast("Relu", operation))
            makers[operation.outputs[0]] = before
            continue
        kept.append(operation)
    return kept


def _summed(operations: list[Operation], wanted: Collection[Slot]) -> list[Operation]:
    """Let each SiLU add what a residual connection brings, where nobody else reads what it gives.

    One pass over the map instead of two, and one copy less on the way back.
    """
    once = read_once(operations, wanted)
    silus = {
        op.outputs[0]: op for op in operations if isinstance(op, Silu) and op.outputs[0] in once
    }
    kept: list[Operation] = []
    for operation in operations:
        is_plain_sum = isinstance(operation, Add) and not operation.is_relu
        own = [slot for slot in operation.inputs if slot in silus] if is_plain_sum else []
        if not own:
            kept.append(operation)
            continue
        silu = silus[own[-1]]  # which now runs where the sum did, when the other value is there
        kept.remove(silu)
        others = [slot for slot in operation.inputs if slot != own[-1]]
        kept.append(Silu((*silu.inputs, *others), operation.outputs))
    return kept


def _closed_at_zero(operations: list[Operation]) -> set[Slot]:
    """Return the values that are never negative, and of which zeros alone send no gradient back."""
    gated: set[Slot] = set()
    for operation in operations:
        if isinstance(operation, MaxPool):
            operation.is_closed = operation.inputs[0] in gated
        if (
            (isinstance(operation, Gate) and operation.is_relu and math.isinf(operation.limit))
            or (isinstance(operation, MaxPool) and operation.is_closed)
            or (isinstance(operation, Concat) and gated.issuperset(operation.inputs))
        ):
            gated.update(operation.outputs)
    return gated
