"""Keeps a caller's defaults and random numbers away from networks, in this thread alone.

PyTorch's own ways to do that change more than their thread: `torch.device(...)` as a context and
every `TorchDispatchMode` set a flag of the whole process, by which functions that another thread
has compiled are compiled anew or never, and `torch.random.fork_rng` rewinds the generator from
which other threads draw.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _device, _python_dispatch
from torch.utils._python_dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

_FLOATING = {torch.empty, torch.eye, torch.ones, torch.rand, torch.randn, torch.zeros}
"""What is of the default type unless told otherwise; for others it depends on what they are given.
"""


class ThreadDispatchMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that sees every operation of this thread, and that other threads do not notice."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep PyTorch from importing its compiler, which takes seconds, on the first operation."""
        return False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()  # type: ignore[no-untyped-call]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do an operation: `func` is an overload such as `torch.ops.aten.relu.default`.

        What this calls itself goes on to the mode outside of this one, or to PyTorch.
        """
        return func(*args, **kwargs)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Hand an operation to `run`."""
        del types
        return self.run(func, args, dict(kwargs or {}))

    def __enter__(self) -> Self:
        _python_dispatch._push_mode(self)  # noqa: SLF001 - what is public sets flags of the process
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        _python_dispatch._pop_mode()  # noqa: SLF001


class OwnDefaults(TorchFunctionMode):
    """Makes tensors in float32 on a device, whatever the caller's default type and device are.

    Args:
        device: for instance "cpu", or "meta" where nothing but shapes is wanted.
    """

    def __init__(self, device: str) -> None:
        super().__init__()
        context: Any = _device.DeviceContext(torch.device(device))
        self._on_device = context.__torch_function__

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        default = torch.get_default_dtype()
        is_open = given.get("dtype") is None and func in _device._device_constructors()  # noqa: SLF001
        if not is_open or default is torch.float32:
            return self._on_device(func, types, args, given)
        plain = {**given, "dtype": torch.float32}
        if func not in _FLOATING:  # numbers stay whole, and arrays what they are
            made = self._on_device(func, types, args, given)
            if made.dtype is not default or (args and hasattr(args[0], "dtype")):
                return made
        return self._on_device(func, types, args, plain)


class OwnRandomness(ThreadDispatchMode):
    """Draws from generators of its own, which begin alike every time.

    A network that seeds PyTorch's generator gets the numbers of that seed; the caller's generator,
    which it has then set back, is put where it was.
    """

    def __init__(self) -> None:
        super().__init__()
        self._generators: dict[torch.device, torch.Generator] = {}
        self._start = 0

    def __enter__(self) -> Self:
        self._before = torch.initial_seed()
        self._seen = self._before
        self._state = torch.get_rng_state()
        return super().__enter__()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        super().__exit__(_kind, _error, _traceback)
        if torch.initial_seed() != self._before:
            torch.set_rng_state(self._state)

    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Draw from a generator of our own where an operation draws."""
        draws = torch.Tag.nondeterministic_seeded in func.tags and kwargs.get("generator") is None
        seeded = _with_generator(func) if draws else None
        device = _device_of(args, kwargs)
        if seeded is None or device.type == "meta":
            return func(*args, **kwargs)
        return seeded(*args, **{**kwargs, "generator": self._generator(device)})

    def _generator(self, device: torch.device) -> torch.Generator:
        if (seed := torch.initial_seed()) != self._seen:  # the network has seeded PyTorch's
            self._seen = self._start = seed
            self._generators.clear()
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._start)
        return self._generators[device]


@lru_cache(maxsize=256)
def _with_generator(func: Any) -> Any:
    """Find the form of a random operation that takes a generator; None if it has none."""
    arguments = _names(func)
    if "generator" in arguments:
        return func
    packet = func.overloadpacket
    forms = (getattr(packet, name) for name in packet.overloads())
    return next((form for form in forms if _names(form) == arguments | {"generator"}), None)


def _names(func: Any) -> set[str]:
    return {argument.name for argument in func._schema.arguments}  # noqa: SLF001


def _device_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.device:
    if kwargs.get("device") is not None:
        return torch.device(kwargs["device"])
    tensor = next((each for each in args if isinstance(each, torch.Tensor)), None)
    return torch.device("cpu") if tensor is None else tensor.device
