"""Devices, precision, and the ambient state that a dream must not depend on."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import torch

from reverie.errors import ReverieError

if TYPE_CHECKING:
    from collections.abc import Iterator

DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")
"""What a user may ask for; "cuda:1" picks one of several."""


@contextmanager
def own_grad_mode() -> Iterator[None]:
    """Compute gradients whatever the caller does; ComfyUI calls inside `inference_mode`.

    Tensors made inside can be differentiated; a tensor from outside must be cloned in here first.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda"):
            stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(_ExactArithmetic())
        yield


class _ExactArithmetic:
    """Settings of the whole process that decide the bytes.

    The first thread that dreams makes them, the last one gives the caller's back.
    """

    _lock = threading.Lock()
    _inside = 0
    _before = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if _ExactArithmetic._inside == 0:
                self._before.callback(
                    torch.set_float32_matmul_precision, torch.get_float32_matmul_precision()
                )
                torch.set_float32_matmul_precision("highest")
                self._before.enter_context(
                    torch.backends.cudnn.flags(
                        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
                    )
                )
            _ExactArithmetic._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            _ExactArithmetic._inside -= 1
            if _ExactArithmetic._inside == 0:
                self._before.close()


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
        # Private names, but the only way to ask; without them float32 is always right.
        fast = (
            getattr(torch.cpu, f"_is_{unit}_supported", None)
            for unit in ("avx512_bf16", "amx_tile")
        )
        return "bf16" if any(ask() for ask in fast if ask is not None) else "float32"
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
