"""Compares a step of reverie with the classic loop's and the peers': python tests/bench/steps.py

The classic loop is google/deepdream's step in plain PyTorch (engines.py); peers take part when
their checkouts are given, and peers.py says what is timed of each:

    python tests/bench/steps.py --squeezenet FILE --pytorch-deepdream DIR --neural-dream DIR
        --lucent DIR

All take the same network, weights, layer and picture. Engines take turns (race.py) with the
allocator pinned (machine.py), and only ratios of one run mean anything: milliseconds move threefold
with the machine's mood. bf16 and mixed are compared with peers in float32, as they are shipped.
On a busy machine `--threads 1 --cpu-time` is steadier. Before the race, reverie's gradient is
compared with the classic loop's: float32 must find the same objective.

The fraction of the machine's rate is the time that the forward and backward FLOPs would take at the
best rate that a convolution reached in the same race, over the time taken. On a GPU it is the
larger of that and the least bytes at the best copying rate, with deterministic kernels for reverie,
none chosen by trial (cudnn.benchmark) and no TF32 for anybody; this part has not been run on a GPU.

`--memory` measures, in a fresh process for each engine and with the same allocator, the peak above
what is held after loading and a first small picture, at the last of the sizes. Linux only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import machine
from engines import PRECISIONS, agreement
from field import CPU_SIZES, GPU_SIZES, check, makers, parser
from networks import builders, picture
from peers import MissingPeerError
from race import race
from report import Row, memory_table, tables
from work import count

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from engines import Engine
    from networks import BenchNetwork
    from race import Run

DTYPES = {"float32": (torch.float32,) * 2, "bf16": (torch.bfloat16,) * 2}
DTYPES["mixed"] = (torch.float32, torch.bfloat16)
"""In what each precision computes forwards and backwards."""
SAME = 0.999
"""The least cosine between gradients in float32; rounding alone moves some ReLUs and maxima."""
_SMALL = 224
"""px; lucent enlarges smaller pictures."""


def main() -> None:
    """Measure what the command's words ask for, and print it."""
    words = parser((__doc__ or "").splitlines()[0])
    options = words.parse_args()
    device = check(words, options)
    options.sizes = options.sizes or list(GPU_SIZES if device.type == "cuda" else CPU_SIZES)
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.backends.cudnn.allow_tf32 = False
    is_pinned = machine.pin_malloc()
    try:
        with tempfile.TemporaryDirectory() as folder:
            if options.child:
                _say(json.dumps(_child(options, Path(folder), device)))
            elif options.memory:
                _memory(words, options)
            else:
                _say(f"{machine.describe(device)}, allocator {'' if is_pinned else 'NOT '}pinned\n")
                _time(options, Path(folder), device)
    except MissingPeerError as error:
        sys.exit(str(error))


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def _time(options: argparse.Namespace, folder: Path, device: torch.device) -> None:
    rows: list[Row] = []
    try:
        for row in _rows(options, folder, device):
            rows.append(row)
            sys.stderr.write(f"{row.network} {row.size} px is done\n")
    finally:  # what was measured in an hour is worth printing, whatever ended it
        if options.json:
            figures = [vars(row) for row in rows]
            options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
        if rows:
            _say(f"\n{tables(rows)}")


def _rows(options: argparse.Namespace, folder: Path, device: torch.device) -> Iterator[Row]:
    build = builders(folder, options.squeezenet)
    for network in (build[name]() for name in options.networks):
        engines = {name: make(network, device) for name, make in makers(options).items()}
        _say(_agreements(network, device))
        for size in options.sizes:
            yield _row(network, engines, size, options, device)


def _agreements(network: BenchNetwork, device: torch.device) -> str:
    image = picture(_SMALL).to(device)
    cosines = {name: agreement(network, image, name) for name in PRECISIONS}
    found = ", ".join(f"{name} {cosine:.5f}" for name, cosine in cosines.items())
    fault = "" if cosines["float32"] > SAME else " NOT THE SAME OBJECTIVE: compare nothing."
    return f"{network.name}: cosine with the classic gradient: {found}.{fault}"


def _row(
    network: BenchNetwork,
    engines: dict[str, Engine],
    size: int,
    options: argparse.Namespace,
    device: torch.device,
) -> Row:
    image = picture(size).to(device)
    probes, amounts = _probes(device)
    runs = {**{name: start(image) for name, start in engines.items()}, **probes}
    clock = time.process_time if options.cpu_time else time.perf_counter
    times = race(runs, options.rounds, options.steps, _synchronize(device), clock)
    rates = {name: amount / min(times.pop(name)) for name, amount in amounts.items()}
    floors = {name: _floor(network, size, name, rates) for name in PRECISIONS if name in DTYPES}
    return Row(network=network.name, size=size, times=times, floors=floors)


def _synchronize(device: torch.device) -> Callable[[], None]:
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


def _probes(device: torch.device) -> tuple[dict[str, Run], dict[str, float]]:
    """What measures the machine's rates, and how much of it one step is, in FLOPs or bytes."""
    probes = {}
    for dtype in (torch.float32, torch.bfloat16):
        probes[f"convolution {dtype}"] = machine.convolution(dtype, device)
        if device.type == "cuda":
            probes[f"product {dtype}"] = machine.product(dtype, device)
    if device.type == "cuda":
        probes["copying"] = machine.copying(device)
    return {k: run for k, (run, _) in probes.items()}, {k: n for k, (_, n) in probes.items()}


def _floor(network: BenchNetwork, size: int, precision: str, rates: dict[str, float]) -> float:
    """The ms that the machine's best rates, in FLOPs or bytes a ms, need for a step."""
    work = count(network, size)
    time = 0.0
    for flops, dtype in zip((work.forward, work.backward), DTYPES[precision], strict=True):
        best = max(rate for name, rate in rates.items() if name.endswith(str(dtype)))
        moving = work.numbers / 2 * dtype.itemsize / rates["copying"] if "copying" in rates else 0.0
        time += max(flops / best, moving)
    return time


def _memory(words: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if not machine.can_measure_memory():
        words.error("--memory: only Linux lets a process reset its peak.")
    peaks: dict[str, dict[str, float]] = {}
    for network in options.networks:
        for name in makers(options):
            command = [sys.executable, __file__, *sys.argv[1:], "--child", network, name]
            done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
            if done.returncode:  # it has said why
                sys.exit(done.returncode)
            peaks.setdefault(network, {})[name] = json.loads(done.stdout)
    if options.json:
        options.json.write_text(json.dumps(peaks, indent=1), encoding="utf-8")
    _say(memory_table(peaks, options.sizes[-1] ** 2 / 1e6))


def _child(options: argparse.Namespace, folder: Path, device: torch.device) -> float:
    """The peak of one engine in MB, above what it holds once it has been used a little."""
    name, engine = options.child
    network = builders(folder, options.squeezenet)[name]()
    start = makers(options)[engine](network, device)
    start(picture(_SMALL).to(device))(2, lambda: None)
    image = picture(options.sizes[-1]).to(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        loaded = torch.cuda.memory_allocated() / 2**20
        start(image)(4, torch.cuda.synchronize)
        return torch.cuda.max_memory_allocated() / 2**20 - loaded
    machine.trim()
    machine.reset_peak()
    loaded = machine.resident_mb()
    start(image)(4, lambda: None)
    return machine.peak_mb() - loaded


if __name__ == "__main__":
    main()
