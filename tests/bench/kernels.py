"""Compares the kernels with ATen's operations, one by one: python tests/bench/kernels.py

For each kernel, map and dtype: milliseconds of ATen, and how many times as fast the plain and the
compiled kernels are. The engines take turns, the order turns with the rounds, medians of the
processor time of one thread. glibc keeps freed memory meanwhile, as it does not by itself for large
blocks: who asks for memory first would otherwise pay for it.

"ATen" is what eager PyTorch does for the same: pools with 64-bit indices, `threshold_backward` with
the whole activation kept, `torch.cat`, copies of slices, roll and pad and fold one after the other.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from reverie.engine.kernels import Window, build
from reverie.engine.kernels.compiled import CompiledKernels
from reverie.engine.kernels.plain import PlainKernels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reverie.engine.kernels import Kernels

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LARGEST = Window((3, 3), (2, 2), (0, 0), ceil_mode=True)
ALONGSIDE = Window((3, 3), (1, 1), (1, 1), ceil_mode=True)
MEAN = Window((4, 4), (2, 2), (1, 1))
QUIET = 0.1
PADDING = (4, 2, 4, 2)
SHIFT = (13, -7)
MEAN_COLOUR = (0.485, 0.456, 0.406)
Case: TypeAlias = "tuple[str, str, Callable[[], Any], Callable[[Kernels], Callable[[], Any]]]"
"""A kernel, a map, ATen's way, and the way of some kernels."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="kernels whose name has this in it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    engines: dict[str, Kernels] = {"plain": PlainKernels()}
    path = build.find()
    if path is not None:
        engines["compiled"] = CompiledKernels(path)
    names = " | ".join(engines)
    say(f"| kernel | dtype | map | ATen, ms | {names} |\n|{'---|' * (4 + len(engines))}")
    for name, dtype in DTYPES.items():
        for kernel, where, aten, ours in cases(dtype):
            if options.only not in kernel:
                continue
            contenders = {"aten": aten}
            contenders |= {engine: ours(kernels) for engine, kernels in engines.items()}
            times = race(contenders, options.rounds)
            ratios = " | ".join(f"{times['aten'] / times[engine]:.2f}x" for engine in engines)
            say(f"| {kernel} | {name} | {where} | {times['aten'] * 1000:.2f} | {ratios} |")


def race(contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each; the first round only warms up."""
    names = list(contenders)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        turned = names[number % len(names) :] + names[: number % len(names)]
        for name in turned:
            started = time.process_time()
            contenders[name]()
            if number:
                times[name].append(time.process_time() - started)
    return {name: statistics.median(each) for name, each in times.items()}


def cases(
    dtype: torch.dtype,
) -> Iterator[Case]:
    """Each kernel on maps as GoogLeNet, SqueezeNet and the embedded network have them at 512 px."""
    for channels, side, window in ((64, 256, LARGEST), (192, 64, LARGEST), (512, 32, ALONGSIDE)):
        yield from maximum(new(channels, side, dtype).relu_(), window)
    for channels, side in ((48, 256), (64, 128), (512, 32)):
        yield from mean_and_silu(new(channels, side, dtype))
    for channels, side in ((64, 256), (256, 64), (512, 32)):
        yield from masks(new(channels, side, dtype).relu_())
    yield from ends(dtype)


def maximum(x: Tensor, window: Window) -> Iterator[Case]:
    """The largest of windows, after a ReLU; ATen's way back needs the ReLU's too."""
    settings = (window.kernel, window.stride, window.padding, (1, 1), window.ceil_mode)
    pooled, at = torch.ops.aten.max_pool2d_with_indices(x, *settings)
    g, size, where = torch.randn_like(pooled), (x.shape[2], x.shape[3]), shape_of(x)
    yield (
        "max_pool",
        f"{where}, stride {window.stride[0]}",
        lambda: torch.ops.aten.max_pool2d_with_indices(x, *settings),
        lambda kernels: lambda: kernels.max_pool(x, window, closed=True),
    )

    def aten_back() -> Any:
        back = torch.ops.aten.max_pool2d_with_indices_backward(g, x, *settings, at)
        return torch.ops.aten.threshold_backward.grad_input(back, x, 0, grad_input=back)

    def ours_back(kernels: Kernels) -> Callable[[], Any]:
        _, winners = kernels.max_pool(x, window, closed=True)
        return lambda: kernels.max_pool_backward(g, winners, window, size)

    yield "max_pool_backward", f"{where}, stride {window.stride[0]}", aten_back, ours_back


def mean_and_silu(
    x: Tensor,
) -> Iterator[Case]:
    """What the embedded network does between its convolutions."""
    settings = (MEAN.kernel, MEAN.stride, MEAN.padding, MEAN.ceil_mode, False)
    g = torch.randn_like(functional.avg_pool2d(x, *settings))
    like, size, where = torch.randn_like(x), (x.shape[2], x.shape[3]), shape_of(x)
    yield (
        "avg_pool",
        where,
        lambda: functional.avg_pool2d(x, *settings),
        lambda kernels: lambda: kernels.avg_pool(x, MEAN, count_include_pad=False),
    )
    yield (
        "avg_pool_backward",
        where,
        lambda: torch.ops.aten.avg_pool2d_backward(g, x, *settings, None),
        lambda kernels: lambda: kernels.avg_pool_backward(g, MEAN, size, count_include_pad=False),
    )
    yield (
        "energy_pool",
        where,
        lambda: functional.avg_pool2d(x * x, *settings).add_(QUIET).sqrt_(),
        lambda kernels: lambda: kernels.energy_pool(x, MEAN, QUIET),
    )
    root = functional.avg_pool2d(x * x, *settings).add_(QUIET).sqrt_()
    yield (
        "energy_pool_backward",
        where,
        lambda: torch.ops.aten.avg_pool2d_backward(g / root, x, *settings, None).mul_(x),
        lambda kernels: lambda: kernels.energy_pool_backward(g, x, root, MEAN),
    )
    yield (
        "silu",
        where,
        lambda: functional.silu(x),
        lambda kernels: lambda: kernels.silu(x),
    )
    yield (
        "silu_backward",
        where,
        lambda: torch.ops.aten.silu_backward(like, x),
        lambda kernels: lambda: kernels.silu_backward(like, x),
    )


def masks(
    x: Tensor,
) -> Iterator[Case]:
    """ReLUs, and joins of branches."""
    g, where = torch.randn_like(x), shape_of(x)
    sizes = [x.shape[1] // 4, x.shape[1] - x.shape[1] // 4]
    parts = [torch.randn_like(x[:, :size]) for size in sizes]

    def ours_masked(kernels: Kernels) -> Callable[[], Any]:
        mask = kernels.positive(x)
        return lambda: kernels.masked(g, mask)

    yield (
        "positive (bool in ATen)",
        where,
        lambda: x > 0,
        lambda kernels: lambda: kernels.positive(x),
    )
    yield (
        "masked (activation kept in ATen)",
        where,
        lambda: torch.ops.aten.threshold_backward.grad_input(g, x, 0, grad_input=g),
        ours_masked,
    )
    yield (
        "concat, no mask",
        where,
        lambda: torch.cat(parts, 1),
        lambda kernels: lambda: kernels.concat(parts, want_mask=False),
    )

    def aten_split() -> list[Tensor]:
        torch.ops.aten.threshold_backward.grad_input(g, x, 0, grad_input=g)
        return [
            part.contiguous(memory_format=torch.channels_last) for part in torch.split(g, sizes, 1)
        ]

    def ours_split(kernels: Kernels) -> Callable[[], Any]:
        mask = kernels.positive(x)
        return lambda: kernels.split(g, mask, sizes)

    yield "split, masked", where, aten_split, ours_split


def ends(
    dtype: torch.dtype,
) -> Iterator[Case]:
    """A picture of 512 x 512 px in, and its gradient out."""
    image = torch.rand(1, 3, 512, 512)
    centre = torch.tensor(MEAN_COLOUR).view(1, 3, 1, 1)
    top, bottom, left, right = PADDING

    def aten_in() -> Tensor:
        centred = torch.roll(image, SHIFT, (2, 3)) - centre
        folded = functional.pixel_unshuffle(functional.pad(centred, (left, right, top, bottom)), 2)
        return folded.to(dtype).contiguous(memory_format=torch.channels_last)

    g = torch.randn_like(aten_in())

    def aten_out() -> Tensor:
        unfolded = functional.pixel_shuffle(g, 2)[:, :, top:-bottom, left:-right]
        return torch.roll(unfolded.float().contiguous(), (-SHIFT[0], -SHIFT[1]), (2, 3))

    yield (
        "ingest",
        "512 px",
        aten_in,
        lambda kernels: lambda: kernels.ingest(image, SHIFT, MEAN_COLOUR, PADDING, True, dtype),
    )
    yield (
        "egest",
        "512 px",
        aten_out,
        lambda kernels: lambda: kernels.egest(g, (512, 512), SHIFT, PADDING, True),
    )


def new(channels: int, side: int, dtype: torch.dtype) -> Tensor:
    """Give a map of noise."""
    noise = torch.randn(1, channels, side, side, generator=torch.Generator().manual_seed(0))
    return noise.to(dtype).contiguous(memory_format=torch.channels_last)


def shape_of(x: Tensor) -> str:
    """Name a map."""
    return f"{x.shape[1]} x {x.shape[2]}²"


def keep_freed_memory() -> None:
    """Let glibc neither give memory back nor ask for large blocks anew each time."""
    trim_threshold, mmap_threshold = -1, -3
    if sys.platform == "linux":
        glibc = ctypes.CDLL(None)
        for option in (trim_threshold, mmap_threshold):
            glibc.mallopt(option, 1 << 30)


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
