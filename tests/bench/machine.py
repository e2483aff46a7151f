"""The machine under the benchmark: its allocator, its memory, and how fast it multiplies.

Two things would make a comparison unfair unless they are held still.

Memory. glibc gives freed blocks back to the system and fetches large ones (over 32 MB always) anew
each time; whoever asks next pays for it with page faults, thousands a step at 1024 px. The bill
goes to whichever engine runs after one that freed much, and depends on the order. `pin_malloc`
makes glibc keep what it has, so that after a warm-up nobody pays. It flatters the engines that
allocate most, which are the others: without it they are slower.

Clock. Processors slow down and other programs come and go. So the rate that times are compared with
is measured as one more engine that takes its turns in the same race.
"""

from __future__ import annotations

import ctypes
import gc
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from race import Run

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""glibc's malloc.h, M_TRIM_THRESHOLD and M_MMAP_MAX."""
_REPEATS = 4
"""Convolutions between two looks at the clock: one takes 1 ms in bf16."""


def pin_malloc() -> bool:
    """Make glibc keep freed memory; False where there is no glibc."""
    libc = _glibc()
    return libc is not None and bool(libc.mallopt(_TRIM_THRESHOLD, -1) & libc.mallopt(_MMAP_MAX, 0))


def trim() -> None:
    """Give back what is free, so that a peak measured after this counts from what is in use."""
    gc.collect()
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL("libc.so.6") if platform.libc_ver()[0] == "glibc" else None


def can_measure_memory() -> bool:
    """Whether this is Linux, where a process can reset its own peak."""
    return sys.platform == "linux" and Path("/proc/self/clear_refs").exists()


def reset_peak() -> None:
    """Make the peak of this process what it holds now. Source: proc(5), /proc/pid/clear_refs."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def resident_mb() -> float:
    """What this process holds, in MB of 2**20 bytes."""
    return _status("VmRSS")


def peak_mb() -> float:
    """The most that it held since `reset_peak`, in MB of 2**20 bytes."""
    return _status("VmHWM")


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{key}:"))


def describe(device: torch.device) -> str:
    """Say what the figures were measured on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return f"{name}, torch {torch.__version__}, {torch.get_num_threads()} threads"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def convolution(dtype: torch.dtype, device: torch.device) -> tuple[Run, float]:
    """A convolution that suits every machine, forward and input gradient: 3x3, 128 to 192 channels.

    On 64 x 64 cells; on a GPU 32 pictures of them, for one leaves most of it idle.

    Returns:
        What runs it, and the FLOPs of one step.
    """
    count = 32 if device.type == "cuda" else 1
    make = torch.Generator().manual_seed(0)
    weight = torch.randn(192, 128, 3, 3, generator=make).to(device, dtype) / 48
    cells = torch.randn(count, 128, 64, 64, generator=make).to(device, dtype)
    weight = weight.to(memory_format=torch.channels_last)
    cells = cells.to(memory_format=torch.channels_last).requires_grad_()

    def run(steps: int, tick: Callable[[], None]) -> None:
        for _ in range(steps):
            for _ in range(_REPEATS):
                out = functional.conv2d(cells, weight, padding=1)
                torch.autograd.grad(out, cells, out.detach())
            tick()

    return run, _REPEATS * 2.0 * 2 * count * 192 * 128 * 9 * 64 * 64


def product(dtype: torch.dtype, device: torch.device) -> tuple[Run, float]:
    """A matrix product of 8192 x 8192, and its FLOPs: the other candidate for a GPU's best rate."""
    side = 8192
    left = torch.randn(side, side, device=device, dtype=dtype)

    def run(steps: int, tick: Callable[[], None]) -> None:
        for _ in range(steps):
            torch.mm(left, left)
            tick()

    return run, 2.0 * side**3


def copying(device: torch.device) -> tuple[Run, float]:
    """A copy of 1 GiB, and the bytes that it reads and writes."""
    source = torch.zeros(2**30, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def run(steps: int, tick: Callable[[], None]) -> None:
        for _ in range(steps):
            target.copy_(source)
            tick()

    return run, 2.0 * 2**30
