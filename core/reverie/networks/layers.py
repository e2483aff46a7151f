"""Finds the layers of any network: names, channels, stride and receptive field.

Shapes are found by running the network on two small pictures: the axis whose length does not
follow the picture's is the channel axis, so transformers that put channels last need no special
case. Stride and receptive field follow from what the first run did (geometry.py), and are left out
where that cannot be recorded.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import torch
from torch import nn

from reverie.errors import NetworkError
from reverie.networks.geometry import Geometry, geometry
from reverie.networks.recording import Unrecordable, record
from reverie.networks.watching import watchable, watched

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
    grid: int = 1
    """px; parts of a picture that begin at multiples of it are seen as the whole picture is."""


def find_layers(module: nn.Module, window: int | None = None) -> dict[str, Layer]:
    """List the layers of a network in the order in which they run.

    Args:
        module: float32 on the CPU, in evaluation mode.
        window: side in px of the only picture it takes, or None.
    Raises:
        NetworkError: it cannot take a picture.
    """
    if not watchable(module):
        raise NetworkError(
            f"this network, {type(module).__name__}, has no modules that can be looked into; "
            "give it as Python code and load its weights into that, not as a TorchScript program."
        )
    if window is not None:
        return _seen(module, ((window, window),))
    try:
        layers = _seen(module, _PROBES)
    except NetworkError:
        return _seen(module, _LARGE_PROBES)
    if any(layer.stride is None and layer.receptive_field for layer in layers.values()):
        return _seen(module, _LARGE_PROBES)
    return layers


def _seen(module: nn.Module, probes: tuple[tuple[int, int], ...]) -> dict[str, Layer]:
    """List the layers that pictures of these sides reach."""
    traced: dict[str, Geometry] = {}
    try:
        first, traced = _recorded(module, *probes[0])
    except Unrecordable as reason:
        _log.debug("receptive fields are unknown: %s", reason)
        first = _shapes(module, *probes[0])
    last = first if len(probes) == 1 else _shapes(module, *probes[-1])
    layers = {}
    for order, (name, shape) in enumerate(first.items()):
        axis = _channel_axis(shape, last.get(name, ()))
        if axis is not None:
            field, stride, grid = traced.get(name, (math.inf, 0.0, 1))
            layers[name] = Layer(
                name=name,
                kind=type(module.get_submodule(name)).__name__,
                channels=shape[axis],
                channel_axis=axis,
                stride=_stride(shape, axis, probes[0], stride),
                receptive_field=int(field) if math.isfinite(field) else None,
                order=order,
                grid=math.ceil(grid),
            )
    return layers


def _recorded(
    module: nn.Module, height: int, width: int
) -> tuple[dict[str, tuple[int, ...]], dict[str, Geometry]]:
    """Record the network on two pictures; return what `_shapes` does, and each layer's geometry."""
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        program = record(module, _probe(module, height, width), shapes=shapes)
    except _MISFITS as error:
        raise _misfit(height, width, error) from None
    found = geometry(program)
    return shapes, {path: found[slot] for path, slot in program.layers.items()}


def _shapes(module: nn.Module, height: int, width: int) -> dict[str, tuple[int, ...]]:
    """Run the network on two pictures and note what every module gives, in order of completion."""
    shapes: dict[str, tuple[int, ...]] = {}

    def notice(path: str, output: torch.Tensor) -> None:
        shapes[path] = tuple(output.shape)

    try:
        with watched(module, watchable(module), notice), torch.no_grad():
            module(_probe(module, height, width))
    except _MISFITS as error:
        raise _misfit(height, width, error) from None
    return shapes


_MISFITS = (RuntimeError, ValueError, TypeError, AssertionError)
"""What networks raise when a picture is too small for them, or has too few channels."""


def _misfit(height: int, width: int, error: BaseException) -> NetworkError:
    return NetworkError(f"this network cannot take a picture of {width} x {height} px: {error}")


def _probe(module: nn.Module, height: int, width: int) -> torch.Tensor:
    """Return two pictures where the network's weights are."""
    weight = next(iter((*module.parameters(), *module.buffers())), None)
    device = torch.device("cpu") if weight is None else weight.device
    return torch.full((2, 3, height, width), 0.1, device=device, dtype=torch.float32)


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
