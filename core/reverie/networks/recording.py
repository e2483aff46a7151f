"""Records what a network does with a picture as a program of plain functions, whoever wrote it.

The network runs once on a small picture, and in this thread alone each operation of PyTorch that
touches the picture is noted. So subclasses, functional style, TorchScript functions and changes in
place all come down to the same few functions, sizes and paddings are the numbers that really were
used, and neither the network nor anything else in the process is patched. (torch.fx patches
`nn.Module.__call__` for all threads, so that a host's own models fail meanwhile.)
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from reverie.ambient import ThreadDispatchMode
from reverie.networks.program import DETACH, Call, Program, Reshape, Slot, Value, flat, mapped
from reverie.networks.watching import SeenEnough, watchable, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

_WHOLE = {
    functional.linear,
    functional.local_response_norm,
    functional.interpolate,
    functional.group_norm,
    functional.instance_norm,
    torch.group_norm,
    torch.flatten,
    Tensor.flatten,
}
"""Noted as one call each: their parts hold the picture's size."""
_FACTORIES = {
    f"aten::{name}"
    for name in (
        *("new_empty", "new_full", "new_ones", "new_zeros", "new_empty_strided"),
        *("empty_like", "full_like", "ones_like", "zeros_like"),
    )
}
"""Make constants that only look at the picture's size and type."""
_CPU_ATTENTION = "aten::_scaled_dot_product_flash_attention_for_cpu"
_VIEWS = {"aten::view", "aten::_unsafe_view", "aten::reshape"}
_STATEFUL_NORMS = {"aten::native_batch_norm", "aten::cudnn_batch_norm"}


class Unrecordable(Exception):  # noqa: N818 - the network runs with autograd, nothing failed
    """Raised where what a network does cannot be written down as a program."""


def record(
    module: nn.Module,
    picture: Tensor,
    paths: Collection[str] | None = None,
    shapes: dict[str, tuple[int, ...]] | None = None,
) -> Program:
    """Run a network on a picture and note how it gets from there to its layers.

    Args:
        module: in evaluation mode, on the picture's device; its hooks run as ever.
        picture: (N, 3, H, W), normalised; left unchanged.
        paths: dotted paths of the modules whose outputs are wanted; the network runs no further
            than the last of them. None: all.
        shapes: filled with the shape of what each module gave, in the order in which they ended.
    Returns:
        The program; of its layers, those are left out that give no single tensor made of the
        picture. A module that runs twice counts the first time.
    Raises:
        Unrecordable: it decides by the values that it sees, draws random numbers, or writes into
            memory in a way that no program shows.
    """
    recorder = _Recorder(module)
    seen: dict[str, Slot] = {}
    wanted = watchable(module) if paths is None else [*paths]

    def notice(path: str, output: Tensor) -> None:
        if shapes is not None:
            shapes[path] = tuple(output.shape)
        slot = recorder.slot(output)
        if slot is not None:
            seen[path] = slot
        if paths is not None and len(seen) == len(wanted):
            raise SeenEnough

    picture = picture.detach().clone()
    with watched(module, wanted, notice), torch.enable_grad(), recorder, _Whole(recorder):
        recorder.begin(picture)
        module(picture)
    return Program(tuple(recorder.calls), seen)


class _Recorder(ThreadDispatchMode):
    """Notes the operations of PyTorch that touch the picture, below autograd."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self._slots = WeakTensorKeyDictionary()
        self._count = 0
        self._own = {id(t) for t in (*module.parameters(), *module.buffers())}
        self._constants: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self._is_paused = False
        self.is_cut = False
        """The network itself says that no gradient goes back, as in `torch.no_grad()`."""

    def begin(self, picture: Tensor) -> None:
        """Take the picture as slot 0."""
        self._new(picture)

    def slot(self, tensor: Tensor) -> Slot | None:
        """Return the number of a value made of the picture; None if it is not."""
        found: Slot | None = self._slots.get(tensor)  # type: ignore[no-untyped-call]
        return found

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Note nothing meanwhile."""
        before, self._is_paused = self._is_paused, True
        try:
            yield
        finally:
            self._is_paused = before

    def touches(self, *arguments: Any) -> bool:
        """Tell whether something in the arguments is made of the picture."""
        return any(isinstance(v, Tensor) and self.slot(v) is not None for v in flat(arguments))

    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operation, and note it if it touches the picture."""
        if self._is_paused:
            return func(*args, **kwargs)
        if not torch.is_grad_enabled() and not self.is_cut:  # as inside autograd.Function
            raise Unrecordable(f"{func} is part of a function with a backward of its own")
        name = func._schema.name  # noqa: SLF001 - every operation has one
        if torch.Tag.nondeterministic_seeded in func.tags and not _is_attention(name, args):
            raise Unrecordable(f"{func} draws random numbers")
        if not self.touches(args, kwargs):
            return func(*self._apart(func, args), **kwargs)
        if name in _FACTORIES:
            return func(*args, **kwargs)
        self._refuse_by_values(func, args)
        if func._schema.is_mutable:  # noqa: SLF001
            return self._change(func, args, kwargs)
        if name in _STATEFUL_NORMS and args[5]:  # by this picture's own statistics, and no other
            args = (*args[:3], None, None, *args[5:])
        before, after = self._noted(args), self._noted(kwargs)
        result = func(*args, **kwargs)
        if name in _VIEWS:
            self._note(Reshape.seen(args[0].shape, result.shape), before[:1], {}, result)
        elif name == _CPU_ATTENTION:
            self._note(_attention, before, after, result[0])
        else:
            self._note(func, before, after, result)
        return result

    def _refuse_by_values(self, func: Any, args: tuple[Any, ...]) -> None:
        """Refuse what depends on the values in the picture; an index may be a constant."""
        by_values = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
        is_constant = func is torch.ops.aten.index.Tensor and not self.touches(args[1:])
        if by_values.intersection(func.tags) and not is_constant:
            raise Unrecordable(f"{func} depends on the values in the picture")

    def whole(self, func: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]) -> Any:
        """Run a function and note it as one call."""
        before, after = self._noted(args), self._noted(given)
        with self.paused():
            result = func(*args, **given)
        self._note(func, before, after, result)
        return result

    def _apart(self, func: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Let what a network changes of itself be a copy: its weights are for everybody."""
        if not func._schema.is_mutable:  # noqa: SLF001
            return args
        return tuple(a.clone() if id(a) in self._own else a for a in args)

    def _change(self, func: Any, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
        """Note a change in place as a new value; who reads the tensor later reads that."""
        target, *rest = args
        schema = func._schema.arguments  # noqa: SLF001
        written = [a.name for a in schema if a.alias_info is not None and a.alias_info.is_write]
        if written != [schema[0].name] or self.slot(target) is None:
            raise Unrecordable(f"{func} writes what is made of the picture elsewhere")
        if _changes_only_strides(func, args):
            return func(*args, **given)
        others = [t for t in self._slots if t is not target and _share_memory(t, target)]
        if others:
            raise Unrecordable(f"{func} changes a value that another one looks into")
        before, after = self._noted((target, *rest)), self._noted(given)
        result = func(*args, **given)
        self._note(_not_in_place(func), before, after, target)
        return result

    def _new(self, tensor: Tensor) -> Slot:
        self._slots[tensor] = self._count
        self._count += 1
        return self._count - 1

    def _note(self, func: Callable[..., Any], args: Any, given: Any, result: Any) -> None:
        results = [each for each in flat(result) if isinstance(each, Tensor)]
        slots = tuple(self._new(each) for each in results)
        self.calls.append(Call(func, args, given, slots, tuple(r.shape for r in results)))
        if self.is_cut:
            for slot, each in zip(slots, results, strict=True):
                cut = (self._new(each),)
                self.calls.append(Call(DETACH, (Value(slot),), {}, cut, (each.shape,)))

    def _noted(self, arguments: Any) -> Any:
        """Put slots in the places of what is made of the picture; constants stay as they are."""
        return mapped(arguments, self._noted_one)

    def _noted_one(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        slot = self.slot(value)
        return Value(slot) if slot is not None else self._constant(value)

    def _constant(self, tensor: Tensor) -> Tensor:
        """Keep a constant that the network made as it is now; weights are kept themselves."""
        if id(tensor) in self._own:
            return tensor
        changes = 0 if tensor.is_inference() else tensor._version  # noqa: SLF001
        key = (id(tensor), changes)
        if key not in self._constants:
            with self.paused():
                self._constants[key] = (tensor, tensor.detach().clone())
        return self._constants[key][1]


class _Whole(TorchFunctionMode):
    """Notes some functions as one call each, and lets no network take a short cut past autograd.

    While a mode like this is there, PyTorch's attention runs as it does for training.
    """

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        given = dict(kwargs or {})
        if func is torch._C._set_grad_enabled:  # noqa: SLF001 - what torch.no_grad() calls
            self._recorder.is_cut = not args[0]
        if func in _WHOLE and self._recorder.touches(args, given):
            return self._recorder.whole(func, args, given)
        return func(*args, **given)


def _is_attention(name: str, args: tuple[Any, ...]) -> bool:
    """Tell the CPU's attention without dropout: only with it does it draw random numbers."""
    return name == _CPU_ATTENTION and not any(args[3:4])


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout: float = 0.0,
    is_causal: bool = False,
    **kwargs: Any,
) -> Tensor:
    """Attend, on any device."""
    return functional.scaled_dot_product_attention(
        query, key, value, dropout_p=dropout, is_causal=is_causal, **kwargs
    )


def _changes_only_strides(func: Any, args: tuple[Any, ...]) -> bool:
    """Tell a change of strides along sides of length 1, which moves no value."""
    if func._schema.name != "aten::as_strided_":  # noqa: SLF001
        return False
    tensor, size, strides = args[:3]
    moved = [a != b for n, a, b in zip(size, tensor.stride(), strides, strict=True) if n > 1]
    return tuple(size) == tuple(tensor.shape) and not any(moved)


def _share_memory(one: Tensor, other: Tensor) -> bool:
    return bool(one.untyped_storage()._cdata == other.untyped_storage()._cdata)  # noqa: SLF001


def _not_in_place(func: Any) -> Callable[..., Any]:
    """Return the operation that computes what another one, "relu_", writes in place."""
    namespace, _, name = func._schema.name.partition("::")  # noqa: SLF001
    packet = getattr(getattr(torch.ops, namespace), name.removesuffix("_"), None)
    overload = func._overloadname  # noqa: SLF001
    if name.endswith("_") and packet is not None and overload in packet.overloads():
        plain: Callable[..., Any] = getattr(packet, overload)
        return plain

    def on_a_copy(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        return func(tensor.clone(), *args, **kwargs)

    return on_a_copy
