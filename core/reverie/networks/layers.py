"""Finds the layers of any network: names, channels, stride and receptive field.

Shapes are found by running the network on two small pictures: the axis whose length does not
follow the picture's is the channel axis, so transformers that put channels last need no special
case. The receptive field is computed from the traced graph, and left out where there is none.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import fx, nn

from reverie.errors import NetworkError

_log = logging.getLogger(__name__)

_PROBES = ((96, 128), (128, 160))
"""Two pictures' sides in px: multiples of every usual stride, and quickly seen."""
_LARGE_PROBES = ((224, 288), (256, 352))
"""The same for networks of which the small ones leave nothing at some layer (Inception)."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A module of a network whose output can be dreamed."""

    name: str
    """The module's dotted path, as `named_modules` gives it."""
    kind: str
    """The module's class."""
    channels: int
    channel_axis: int
    """Which axis of the output counts channels; 0 counts pictures."""
    stride: int | None
    """px of the picture between neighbouring outputs; None where position is lost."""
    receptive_field: int | None
    """Side in px of what one output sees; None where it is the whole picture or unknown."""
    order: int
    """When it runs: layers with a larger number run later."""


def find_layers(module: nn.Module, window: int | None = None) -> dict[str, Layer]:
    """List the layers of a network in the order in which they run.

    Args:
        module: float32 on the CPU, in evaluation mode.
        window: side in px of the only picture it takes, or None.
    Raises:
        NetworkError: it cannot take a picture.
    """
    traced = _geometry(module)
    if window is not None:
        return _seen(module, ((window, window),), traced)
    try:
        layers = _seen(module, _PROBES, traced)
    except NetworkError:
        return _seen(module, _LARGE_PROBES, traced)
    if any(layer.stride is None and layer.receptive_field for layer in layers.values()):
        return _seen(module, _LARGE_PROBES, traced)
    return layers


def _seen(
    module: nn.Module,
    probes: tuple[tuple[int, int], ...],
    traced: dict[str, tuple[float, float]],
) -> dict[str, Layer]:
    """List the layers that pictures of these sides reach."""
    runs = [_shapes(module, height, width) for height, width in probes]
    layers = {}
    for order, (name, first) in enumerate(runs[0].items()):
        axis = _channel_axis(first, runs[-1].get(name, ()))
        if axis is not None:
            layers[name] = Layer(
                name=name,
                kind=type(module.get_submodule(name)).__name__,
                channels=first[axis],
                channel_axis=axis,
                stride=_stride(first, axis, probes[0], traced.get(name, (math.inf, 0))[1]),
                receptive_field=_finite(traced.get(name, (math.inf, 0))[0]),
                order=order,
            )
    return layers


def _shapes(module: nn.Module, height: int, width: int) -> dict[str, tuple[int, ...]]:
    """Run the network on two pictures and note what every module gives, in order of completion."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, torch.Tensor):
                shapes.setdefault(name, tuple(output.shape))

        return hook

    handles = [m.register_forward_hook(note(name)) for name, m in module.named_modules() if name]
    try:
        with torch.no_grad():
            module(torch.full((2, 3, height, width), 0.1, device="cpu", dtype=torch.float32))
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise NetworkError(
            f"this network cannot take a picture of {width} x {height} px: {error}"
        ) from None
    finally:
        for handle in handles:
            handle.remove()
    return shapes


def _channel_axis(first: tuple[int, ...], second: tuple[int, ...]) -> int | None:
    """The axis after the first that stays when the picture grows; None if it is no picture's."""
    if len(first) not in {2, 3, 4} or len(second) != len(first) or first[0] != 2:  # noqa: PLR2004
        return None
    kept = [axis for axis in range(1, len(first)) if first[axis] == second[axis]]
    if len(kept) == 1:
        return kept[0]
    # All stay: a pooled (N, C, 1, 1), a network of one window, or tokens (N, positions, C).
    is_tokens = len(first) == 3  # noqa: PLR2004
    return None if not kept else (2 if is_tokens else 1)


def _stride(shape: tuple[int, ...], axis: int, probe: tuple[int, int], traced: float) -> int | None:
    """The traced stride if there is one, else how often the output goes into the picture."""
    spatial = [length for i, length in enumerate(shape) if i not in {0, axis}]
    if len(spatial) != 2 or spatial[0] <= 1:  # noqa: PLR2004
        return None
    return int(traced) or round(probe[0] / spatial[0])


def _finite(field: float) -> int | None:
    return int(field) if math.isfinite(field) else None


def _geometry(module: nn.Module) -> dict[str, tuple[float, float]]:
    """Receptive field and stride in px of every module, from the traced graph; none without."""
    try:
        graph = fx.Tracer().trace(module)
    except Exception as error:  # noqa: BLE001 - tracing runs somebody else's forward
        _log.debug("not traceable, receptive fields are unknown: %s", error)
        return {}
    reach: dict[fx.Node, tuple[float, float]] = {}  # field and distance between outputs, in px
    found: dict[str, tuple[float, float]] = {}
    modules = dict(module.named_modules())
    for node in graph.nodes:
        before = [reach[n] for n in node.all_input_nodes]
        field = max((f for f, _ in before), default=1.0)
        jump = max((j for _, j in before), default=1.0)
        size, stride = _kernel(modules.get(str(node.target)), node)
        reach[node] = (field + (size - 1) * jump, jump * stride)
        # The stack holds every module around the node; a block's last node is its output.
        for path in (node.meta.get("nn_module_stack") or {}).keys() | {str(node.target)}:
            found[path] = reach[node]
    return found


def _kernel(module: nn.Module | None, node: fx.Node) -> tuple[float, int]:
    """How many inputs in a row one output of this node sees, and by how many they move on."""
    if node.op == "call_module" and module is not None and hasattr(module, "kernel_size"):
        size, stride, dilation = (
            max(value) if isinstance(value, tuple) else int(cast("int", value))
            for value in (module.kernel_size, module.stride, getattr(module, "dilation", 1))
        )
        return dilation * (size - 1) + 1, stride
    name = str(getattr(node.target, "__name__", node.target)).lower()
    if isinstance(module, (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)) or "adaptive" in name:
        return math.inf, 1
    if node.op == "call_function" and "pool2d" in name:
        size = node.kwargs.get("kernel_size", node.args[1] if len(node.args) > 1 else 1)
        stride = node.kwargs.get("stride", node.args[2] if len(node.args) > 2 else size)  # noqa: PLR2004
        return float(size), int(stride)  # type: ignore[arg-type]
    if name in {"mean", "matmul", "softmax", "flatten", "scaled_dot_product_attention"}:
        return math.inf, 1
    return 1, 1
