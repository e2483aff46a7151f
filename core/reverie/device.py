"""Devices, precision, and the ambient state that a dream must not depend on."""

from __future__ import annotations

import platform
import threading
from collections import Counter
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

import torch

from reverie.errors import ReverieError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")

DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")
"""What a user may ask for; "cuda:1" picks one of several."""


@contextmanager
def own_grad_mode() -> Iterator[None]:
    """Compute gradients whatever the caller does; ComfyUI calls inside `inference_mode`.

    All of this is known to the calling thread only. Tensors made inside can be differentiated; a
    tensor from outside must be cloned in here first.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda"):
            stack.enter_context(torch.autocast(kind, enabled=False))
        yield


class ExactArithmetic:
    """Inside, a device computes float32 in float32, and the same again to the bit.

    What decides that are settings of the whole process, and other threads may be computing, too. So
    only what is otherwise is set, only on devices that obey it, and only while something is
    launched, never while the caller's code runs. Of several threads the first one sets, and the
    last one sets back what nobody else has changed meanwhile.

    Args:
        device: where is computed; on most CPUs, nothing has to be set.
    """

    _lock = threading.Lock()
    _inside: ClassVar[Counter[str]] = Counter()
    _undo: ClassVar[dict[str, ExitStack]] = {}

    def __init__(self, device: torch.device) -> None:
        self._kind = device.type
        self._depth = 0

    def __enter__(self) -> None:
        self._depth += 1
        with self._lock:
            self._inside[self._kind] += 1
            if self._inside[self._kind] == 1:
                undo = self._undo[self._kind] = ExitStack()
                for setting in _settings(self._kind):
                    setting.make_exact(undo)

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        with self._lock:
            self._inside[self._kind] -= 1
            if self._inside[self._kind] == 0:
                self._undo.pop(self._kind).close()

    def each(self, items: Iterable[Item]) -> Iterator[Item]:
        """Compute items inside; what the caller does with one before the next is outside."""
        rest, end = iter(items), object()
        while True:
            with self:
                item: Any = next(rest, end)
            if item is end:
                return
            yield item

    def outside(self, call: Callable[[], None]) -> Callable[[], None]:
        """Make a function of the caller's run outside, wherever it is called."""

        def called() -> None:
            depth = self._depth
            for _ in range(depth):
                self.__exit__()
            try:
                call()
            finally:
                for _ in range(depth):
                    self.__enter__()

        return called


class _Setting(NamedTuple):
    """A setting of PyTorch's for the whole process."""

    read: Callable[[], Any]
    write: Callable[[Any], None]
    exact: tuple[Any, ...]
    """Values that may stay; the first is set in the place of any other."""

    def make_exact(self, undo: ExitStack) -> None:
        """Set it if it has to be."""
        before = self._now()
        if before is not None and before not in self.exact:
            self.write(self.exact[0])
            undo.callback(self._put_back, before)

    def _put_back(self, before: Any) -> None:
        if self._now() in {self.exact[0], None}:  # else the program has changed its mind
            self.write(before)

    def _now(self) -> Any:
        """Return its value; None if it cannot be asked.

        An older PyTorch has no such setting. A newer one refuses to tell the older of two settings
        that mean the same once the program has used the newer one.
        """
        try:
            return self.read()
        except (AttributeError, RuntimeError, Warning):
            return None


def _settings(kind: str) -> list[_Setting]:
    """Say what decides the bytes on a kind of device.

    PyTorch has two settings for one thing. The older comes first: programs may read it at any time,
    and PyTorch refuses that while the newer one says something else.
    """
    backends = torch.backends
    matmul = _Setting(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, ("highest",)
    )
    if kind == "cuda":
        return [
            _flag("benchmark", value=False),
            _flag("deterministic", value=True),
            _flag("allow_tf32", value=False),
            _precision(lambda: backends.cudnn.conv),  # type: ignore[attr-defined]
            matmul,
            _precision(lambda: backends.cuda.matmul),
        ]
    if kind == "cpu" and _may_round_float32():
        return [
            matmul,
            _precision(lambda: backends.mkldnn.matmul),  # type: ignore[attr-defined]
            _precision(lambda: backends.mkldnn.conv),  # type: ignore[attr-defined]
        ]
    return []


def _flag(name: str, *, value: bool) -> _Setting:
    cudnn = torch.backends.cudnn
    return _Setting(lambda: getattr(cudnn, name), lambda new: setattr(cudnn, name, new), (value,))


def _precision(owner: Callable[[], Any]) -> _Setting:
    def write(value: str) -> None:
        owner().fp32_precision = "none"  # take that of all devices, if that is the same
        if owner().fp32_precision != value:
            owner().fp32_precision = value

    return _Setting(lambda: owner().fp32_precision, write, ("ieee", "none"))


def _may_round_float32() -> bool:
    """Whether this CPU computes float32 in a shorter format when it is allowed to."""
    has_it = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    is_x86 = platform.machine().lower() in {"x86_64", "amd64"}
    return has_it and (multiplies_in_bf16() or not is_x86)


def multiplies_in_bf16() -> bool:
    """Whether this CPU has instructions for bf16."""
    # Private names, but the only way to ask; without them float32 is always right.
    fast = (
        getattr(torch.cpu, f"_is_{unit}_supported", None) for unit in ("avx512_bf16", "amx_tile")
    )
    return any(ask() for ask in fast if ask is not None)


def choose_device(name: str | torch.device = "auto") -> torch.device:
    """Find the device to dream on.

    Args:
        name: "auto" takes the first GPU there is, else the CPU.
    Raises:
        ReverieError: the name is unknown or this machine has no such device.
    """
    if isinstance(name, torch.device):
        return name
    if name == "auto":
        return torch.device(next((kind for kind in ("cuda", "mps", "xpu") if _has(kind)), "cpu"))
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ReverieError(
            f"device: {name!r} is unknown; allowed: {', '.join(DEVICES)}, or cuda:1 and so on."
        ) from None
    if device.type != "cpu" and not _has(device.type):
        raise ReverieError(
            f"device: {name!r} is not available to this PyTorch ({torch.__version__}); "
            "use cpu or auto, or install a PyTorch build for it."
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ReverieError(
            f"device: {name!r} is not there; this machine has cuda:0 to "
            f"cuda:{torch.cuda.device_count() - 1}."
        )
    return device


def _has(kind: str) -> bool:
    backend = getattr(torch, kind, None)
    return bool(backend is not None and hasattr(backend, "is_available") and backend.is_available())


def choose_precision(name: str, device: torch.device) -> str:
    """Resolve "auto": bf16 where the device multiplies in it, else float32."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"
    if device.type == "cpu":
        return "bf16" if multiplies_in_bf16() else "float32"
    return "float32"


DTYPES = {
    "float32": (torch.float32, torch.float32),
    "mixed": (torch.float32, torch.bfloat16),
    "bf16": (torch.bfloat16, torch.bfloat16),
}
"""What the network computes in, forth and back; the picture and the update stay float32."""


def says_out_of_memory(error: BaseException) -> bool:
    """Tell a lack of memory from other faults: the CPU's allocator has no exception of its own."""
    known = ("not enough memory", "can't allocate memory", "out of memory", "bad_alloc")
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in known)
