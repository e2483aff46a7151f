"""Turns a network into the operations of operations.py, as far as the layers asked for."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import fx, nn
from torch.nn import functional

from reverie.engine.kernels import Window
from reverie.engine.operations import (
    Add,
    AvgPool,
    Concat,
    Convolution,
    EnergyPool,
    Gate,
    MaxPool,
    Operation,
    Relu,
    Scale,
    Segment,
    Silu,
    Slot,
    Unfreezable,
    changes_in_place,
    pair,
    read_once,
)
from reverie.networks.pooling import EnergyPool2d

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


@dataclass(frozen=True)
class Traced:
    """A network as operations in the order in which they run."""

    operations: list[Operation]
    image: Slot
    """Where the network's input is."""
    layers: dict[str, Slot]
    """Where the layers asked for are, by path."""


def trace(module: nn.Module, paths: Collection[str], back: torch.dtype) -> Traced:
    """Find the operations that lead from a picture to some layers.

    Args:
        module: frozen, in evaluation mode, on its device and in the precision of the way forward.
        paths: dotted paths of the modules whose outputs are wanted.
        back: the precision of the way back.
    Raises:
        Unfreezable: it cannot be traced, or a layer is none of the trace.
    """
    tracer = _Tracer()
    try:
        graph = tracer.trace(module)
    except Exception as error:  # it runs somebody else's forward
        raise Unfreezable(f"not traceable: {error}") from error
    if missing := set(paths) - tracer.outputs.keys():
        raise Unfreezable(f"{sorted(missing)} give no single tensor")
    image, *others = [node for node in graph.nodes if node.op == "placeholder"]
    needed = _needed(graph, [tracer.outputs[path] for path in paths])
    if any(node in others for each in needed for node in each.all_input_nodes):
        raise Unfreezable(f"it reads {others} beside the picture")
    if needed:
        _refuse_hidden_changes(graph, needed)
    builder = _Builder(module, image, back, {tracer.outputs[path] for path in paths})
    for node in needed:
        builder.add(node)
    builder.end_row()
    layers = {path: builder.slot(tracer.outputs[path]) for path in paths}
    operations = _gated(builder.operations, set(layers.values()))
    return Traced(operations, builder.slot(image), layers)


class _Tracer(fx.Tracer):
    """Notes which value each module gives; a module that runs twice counts the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[str, fx.Node] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, EnergyPool2d) or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        result = super().call_module(m, forward, args, kwargs)
        if isinstance(result, fx.Proxy):
            self.outputs.setdefault(self.path_of_module(m), result.node)
        return result


def _needed(graph: fx.Graph, wanted: Collection[fx.Node]) -> list[fx.Node]:
    """Give what leads to the wanted nodes, in order, without the picture itself."""
    reached, ahead = set(wanted), list(wanted)
    while ahead:
        for node in ahead.pop().all_input_nodes:
            if node not in reached:
                reached.add(node)
                ahead.append(node)
    return [node for node in graph.nodes if node in reached and node.op != "placeholder"]


def _refuse_hidden_changes(graph: fx.Graph, needed: list[fx.Node]) -> None:
    """Refuse a value that is changed in place and read by others too: here each is for ever."""
    for node in graph.nodes:
        if changes_in_place(node) and any(len(n.users) > 1 for n in node.all_input_nodes[:1]):
            raise Unfreezable(f"{node} changes {node.all_input_nodes[0]}, which others read")
        if node is needed[-1]:
            return


class _Builder:
    """Makes operations of nodes; what is unknown gathers in a row, until a known one comes.

    Attributes:
        operations: those made so far.
    """

    def __init__(
        self, module: nn.Module, image: fx.Node, back: torch.dtype, wanted: Collection[fx.Node]
    ) -> None:
        self.operations: list[Operation] = []
        self._module = module
        self._back = back
        self._wanted = wanted
        self._slots: dict[fx.Node, Slot] = {image: 0}
        self._parts = dict(module.named_modules(remove_duplicate=False))
        self._row: list[fx.Node] = []
        self._tensors = {image}
        """What is sure to be a tensor made of the picture, not a size or a parameter."""

    def slot(self, node: fx.Node) -> Slot:
        """Give the number of a node's value."""
        return self._slots.setdefault(node, len(self._slots))

    def add(self, node: fx.Node) -> None:
        """Add a node."""
        if self._is_same(node) and node.all_input_nodes[0] not in self._row:
            self._slots[node] = self.slot(node.all_input_nodes[0])
            if node.all_input_nodes[0] in self._tensors:
                self._tensors.add(node)
            return
        operation = self._known(node)
        if operation is None:
            self._row.append(node)
            return
        self.end_row()
        self.operations.append(operation)
        self._tensors.add(node)

    def end_row(self) -> None:
        """Make one operation of the unknown nodes gathered."""
        row, self._row = self._row, []
        if not row:
            return
        inside = set(row)
        inputs = [n for node in row for n in node.all_input_nodes if n not in inside]
        outputs = [
            node
            for node in row
            if node in self._wanted or any(user not in inside for user in node.users)
        ]
        self.operations.append(
            Segment(
                {node: self.slot(node) for node in inputs},
                {node: self.slot(node) for node in outputs},
                row,
                self._module,
            )
        )

    def _is_same(self, node: fx.Node) -> bool:
        """Tell whether a node gives what it gets."""
        return node.op == "call_module" and type(self._parts[str(node.target)]) in _SAME

    def _known(self, node: fx.Node) -> Operation | None:
        """Make the operation of a node; None if it is unknown."""
        ends = [self.slot(n) for n in node.all_input_nodes], [self.slot(node)]
        if node.op == "call_module":
            part = self._parts[str(node.target)]
            is_hooked = part._forward_hooks or part._forward_pre_hooks  # noqa: SLF001
            if is_hooked or node.kwargs or len(node.all_input_nodes) != 1:
                return None
            return _operation_of(part, ends, self._back)
        if not node.op.startswith("call") or not self._tensors.issuperset(node.all_input_nodes):
            return None
        return _operation_of_call(node, ends)


_Ends = tuple[list[Slot], list[Slot]]
_SAME = {nn.Identity, nn.Dropout, nn.Dropout2d}
_RELU = {functional.relu, torch.relu, "relu"}
_ADD = {operator.add, torch.add, "add"}
_CONCAT = {torch.cat, torch.concat}


def _operation_of(part: nn.Module, ends: _Ends, back: torch.dtype) -> Operation | None:
    """Make the operation of a module, exactly of a kind that is known: a subclass may do more."""
    kind = type(part)
    if isinstance(part, nn.Conv2d) and kind is nn.Conv2d:
        is_plain = part.padding_mode == "zeros" and not isinstance(part.padding, str)
        return Convolution(*ends, part, back) if is_plain else None
    if isinstance(part, nn.BatchNorm2d) and kind is nn.BatchNorm2d:
        numbers = _scale_and_shift(part)
        return None if numbers is None else Scale(*ends, *numbers)
    if kind in {nn.MaxPool2d, nn.AvgPool2d}:
        given = {name: getattr(part, name, None) for name in (*_MAX_POOL, *_AVG_POOL)}
        return _pool(ends, given, is_max=kind is nn.MaxPool2d)
    if isinstance(part, EnergyPool2d) and kind is EnergyPool2d:
        window = Window(pair(part.kernel_size), pair(part.stride), pair(part.padding))
        return EnergyPool(*ends, window, part.quiet)
    simple = {nn.ReLU: Relu, nn.SiLU: Silu}.get(kind)
    return None if simple is None else simple(*ends)


def _operation_of_call(node: fx.Node, ends: _Ends) -> Operation | None:
    """Make the operation of a function or method called on tensors."""
    count = len(node.all_input_nodes)
    if node.target in _RELU:
        return Relu(*ends)
    if node.target in _ADD:  # not of a tensor and a number, nor with a factor
        return Add(*ends) if count == len(node.args) == 2 and not node.kwargs else None  # noqa: PLR2004
    if node.target in _CONCAT:
        parts, *rest = node.args
        axis = node.kwargs.get("dim", rest[0] if rest else 0)
        return Concat(*ends) if axis == 1 and count == len(cast("list[Any]", parts)) else None
    if node.target in {functional.max_pool2d, functional.avg_pool2d}:
        is_max = node.target is functional.max_pool2d
        given = dict(zip(_MAX_POOL if is_max else _AVG_POOL, node.args[1:], strict=False))
        return _pool(ends, {**given, **node.kwargs}, is_max=is_max)
    return None


def _pool(ends: _Ends, given: dict[str, Any], *, is_max: bool) -> Operation | None:
    is_dilated = pair(given.get("dilation") or 1) != (1, 1)
    if is_dilated or given.get("return_indices") or given.get("divisor_override"):
        return None
    window = Window(
        kernel=pair(given["kernel_size"]),
        stride=pair(given.get("stride") or given["kernel_size"]),
        padding=pair(given.get("padding") or 0),
        ceil_mode=bool(given.get("ceil_mode")),
    )
    if is_max:
        return MaxPool(*ends, window)
    return AvgPool(*ends, window, count_include_pad=given.get("count_include_pad") is not False)


_MAX_POOL = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_AVG_POOL = (
    "kernel_size",
    "stride",
    "padding",
    "ceil_mode",
    "count_include_pad",
    "divisor_override",
)


def _scale_and_shift(norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Give BatchNorm as a factor and a summand for each channel, in its own precision."""
    if norm.running_mean is None or norm.running_var is None:
        return None
    mean, variance = norm.running_mean.double(), norm.running_var.double()
    scale = torch.rsqrt(variance + norm.eps)
    if norm.affine:
        scale = scale * norm.weight.detach().double()
    shift = -mean * scale
    if norm.affine:
        shift = shift + norm.bias.detach().double()
    return scale.to(norm.running_mean.dtype), shift.to(norm.running_mean.dtype)


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
            before.is_relu = True
            before.outputs = operation.outputs
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
    """Give the values that are never negative, and whose zeros send no gradient back."""
    gated: set[Slot] = set()
    for operation in operations:
        if isinstance(operation, MaxPool):
            operation.is_closed = operation.inputs[0] in gated
        if (
            (isinstance(operation, Gate) and operation.is_relu)
            or (isinstance(operation, MaxPool) and operation.is_closed)
            or (isinstance(operation, Concat) and gated.issuperset(operation.inputs))
        ):
            gated.update(operation.outputs)
    return gated
