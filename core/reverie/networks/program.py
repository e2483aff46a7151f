"""A network as a list of function calls, from a picture to its layers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

Slot = int
"""The number of a value made of the picture; the picture itself is 0."""
PICTURE: Slot = 0
DETACH = torch.ops.aten.detach.default
"""Through this no gradient goes back."""


@dataclass(frozen=True)
class Value:
    """Stands in a call's arguments for a value made of the picture."""

    slot: Slot


@dataclass(frozen=True, eq=False)
class Call:
    """One function of PyTorch's, called on values made of the picture, and on constants."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[Slot, ...]
    """One slot for each tensor that it returns."""
    shapes: tuple[torch.Size, ...]
    """Their shapes when this was recorded."""

    @property
    def inputs(self) -> tuple[Slot, ...]:
        """The values made of the picture that it reads, each as often as it does."""
        return tuple(slots_in((self.args, dict(self.kwargs))))

    def run(self, values: Mapping[Slot, Tensor], wide: set[Call]) -> list[Tensor]:
        """Call the function.

        Args:
            values: at least its inputs.
            wide: the calls that a device cannot do in bf16, which are done in float32; this one
                joins them where that is found out.
        """
        if self not in wide:
            try:
                return self._run(values, lambda value: value)
            except (NotImplementedError, RuntimeError) as error:
                if not lacks_bf16(error):
                    raise
                wide.add(self)
        given = [values[slot] for slot in self.inputs]
        is_short = any(each.dtype is torch.bfloat16 for each in given)
        results = self._run(values, _widened)
        return [each.bfloat16() if is_short and _is_long(each) else each for each in results]

    def _run(
        self, values: Mapping[Slot, Tensor], change: Callable[[Tensor], Tensor]
    ) -> list[Tensor]:
        def fetch(value: Any) -> Any:
            found = values[value.slot] if isinstance(value, Value) else value
            return change(found) if isinstance(found, Tensor) else found

        result = self.function(*mapped(self.args, fetch), **mapped(dict(self.kwargs), fetch))
        return [each for each in flat(result) if isinstance(each, Tensor)]


@dataclass(frozen=True, eq=False)
class Program:
    """Calls in the order in which they run, and where the layers are."""

    calls: tuple[Call, ...]
    layers: Mapping[str, Slot]
    """Where the output of each layer is, by path."""
    wide: set[Call] = field(default_factory=set)
    """What was found to have no bf16 on its device, and is computed in float32."""
    derived: dict[object, Any] = field(default_factory=dict)
    """What an engine makes of it, kept as long as it is."""

    def __call__(self, picture: Tensor) -> dict[str, Tensor]:
        """Return what each layer gives for a normalised picture, (N, 3, H, W); differentiable."""
        values: dict[Slot, Tensor] = {PICTURE: picture}
        kept = set(self.layers.values())
        last = {slot: number for number, call in enumerate(self.calls) for slot in call.inputs}
        for number, call in enumerate(self.calls):
            values.update(zip(call.outputs, call.run(values, self.wide), strict=True))
            for slot in {*call.inputs, *call.outputs} - kept:
                if last.get(slot, -1) <= number:
                    values.pop(slot, None)
        return {path: values[slot] for path, slot in self.layers.items()}

    @property
    def is_cut(self) -> bool:
        """No gradient gets from any layer back to the picture."""
        live = {PICTURE}
        for call in self.calls:
            if call.function is not DETACH and live.intersection(call.inputs):
                live.update(call.outputs)
        return bool(self.layers) and not live.intersection(self.layers.values())

    def up_to(self, paths: Collection[str]) -> Program:
        """Return what is needed for some layers, and no more.

        Raises:
            KeyError: a layer is none of the program's.
        """
        layers = {path: self.layers[path] for path in paths}
        needed = set(layers.values())
        calls = []
        for call in reversed(self.calls):
            if needed.intersection(call.outputs):
                calls.append(call)
                needed.update(call.inputs)
        return Program(tuple(reversed(calls)), layers)

    def users(self) -> dict[Slot, list[Call]]:
        """Return who reads each value, as often as it does."""
        found: dict[Slot, list[Call]] = {}
        for call in self.calls:
            for slot in call.inputs:
                found.setdefault(slot, []).append(call)
        return found

    def to(
        self,
        device: torch.device,
        dtype: torch.dtype,
        order: torch.memory_format,
        moved: dict[int, tuple[Tensor, Tensor]],
    ) -> Program:
        """Bring all constants to a device, and the floating ones to a precision.

        Args:
            device: where.
            dtype: of float32 constants; others stay as they are.
            order: of constants that are maps or weights of convolutions.
            moved: weights that have been moved before, so that programs share them.
        """
        own: dict[int, tuple[Tensor, Tensor]] = {}

        def move(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            known = moved if isinstance(value, nn.Parameter) else own
            if id(value) not in known:
                kind = dtype if value.dtype is torch.float32 else value.dtype
                kept = order if value.ndim == len("NCHW") else torch.preserve_format
                known[id(value)] = (value, value.to(device, kind, memory_format=kept))
            return known[id(value)][1]

        calls = (
            replace(call, args=mapped(call.args, move), kwargs=mapped(dict(call.kwargs), move))
            for call in self.calls
        )
        return Program(tuple(calls), self.layers)


@dataclass(frozen=True)
class Reshape:
    """Changes a shape, but for sides at both ends that stay as they are, whatever they are.

    So the number of pictures and their sides need not be those of the recording.
    """

    first: int
    """How many sides at the front stay."""
    last: int
    """How many at the end."""
    middle: tuple[int, ...]
    """What comes between, as `Tensor.reshape` takes it."""

    @classmethod
    def seen(cls, before: Sequence[int], after: Sequence[int]) -> Reshape:
        """Make one of the shapes of a recording.

        >>> Reshape.seen((2, 6, 5, 7), (2, 3, 2, 5, 7))
        Reshape(first=1, last=2, middle=(3, 2))
        >>> Reshape.seen((2, 6, 1, 1), (2, 6))
        Reshape(first=1, last=0, middle=(-1,))
        """
        most = min(len(before), len(after))
        first = next((n for n in range(most) if before[n] != after[n]), most)
        if math.prod(before[first:]) == 1 or first == most < len(before):
            first = max(0, min(first, len(after) - 1))
        rest = most - first
        last = next((n for n in range(rest) if before[-1 - n] != after[-1 - n]), rest)
        middle = tuple(after[first : len(after) - last])
        return cls(first, last, (-1,) if len(middle) == 1 else middle)

    def __call__(self, value: Tensor) -> Tensor:
        """Reshape; copies where the order of memory asks for it."""
        shape = value.shape
        end = shape[len(shape) - self.last :]
        return value.reshape(*shape[: self.first], *self.middle, *end)


def flat(values: Any) -> Iterator[Any]:
    """Return what is in nested tuples, lists and dicts."""
    if isinstance(values, (tuple, list)):
        for value in values:
            yield from flat(value)
    elif isinstance(values, dict):
        yield from flat(list(values.values()))
    else:
        yield values


def mapped(values: Any, change: Callable[[Any], Any]) -> Any:
    """Change what is in nested tuples, lists and dicts."""
    if isinstance(values, list):
        return [mapped(value, change) for value in values]
    if isinstance(values, tuple):
        return tuple(mapped(value, change) for value in values)
    if isinstance(values, dict):
        return {key: mapped(value, change) for key, value in values.items()}
    return change(values)


def slots_in(values: Any) -> Iterator[Slot]:
    """Return the slots in nested arguments."""
    return (value.slot for value in flat(values) if isinstance(value, Value))


def lacks_bf16(error: BaseException) -> bool:
    """Tell that an operation does not exist in bf16 on this device."""
    return "BFloat16" in str(error)


def _widened(value: Tensor) -> Tensor:
    return value.float() if value.dtype is torch.bfloat16 else value


def _is_long(value: Tensor) -> bool:
    return value.dtype is torch.float32
