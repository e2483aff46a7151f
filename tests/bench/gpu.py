"""Compares a step with plain autograd's, on a GPU: python tests/bench/gpu.py [--shared DIR]

Nothing may be slower than what anybody would write in a few lines of PyTorch: the network with its
BatchNorm folded, in channels_last order, in the same precision, run as far as the layer, and
`torch.autograd.grad`. So each ratio printed here, plain / ours, should be 1 or more. `mixed` has no
such rival, and meets float32's. Three kinds of step: the layer alone; minus the total variation of
the change; the layer's gradient in bands (`laplacian`). Engines take turns (race.py).

`--first` times instead the first dream and the second one in processes of their own, by parts, and
says which heavy modules are loaded by then; beside them, what PyTorch alone takes for two
convolutions. Each runs twice, for the first one finds no file in the system's cache.

`--device cpu` tries the program without a GPU.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import subprocess
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

import machine
from engines import PRECISIONS, SHIFT, STEP
from networks import picture
from race import race, ratio
from reverie import Recipe, dream
from reverie.engine.pyramid import lapnorm
from reverie.networks.efficientnet_lite import VARIANTS
from reverie.networks.loading import load_network, release

if TYPE_CHECKING:
    from collections.abc import Callable

    from race import Run

FILES = {
    "squeezenet1_0": "squeezenet1_0.fp16.safetensors",
    "bvlc_googlenet": "bvlc_googlenet.fp16.safetensors",
}
"""Those whose weights lie in --shared, and how they are called there."""
NETWORKS = ("embedded", "efficientnet_lite0", *FILES)
KINDS = ("plain", "change", "laplacian")
WEIGHT, BANDS = 3.0, 4
"""Of the total variation, and for `laplacian`: they cost the same whatever they are."""


def main() -> None:
    """Measure what the command's words ask for, and print a line at a time."""
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    words.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    words.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    words.add_argument("--sizes", nargs="+", type=int, metavar="PX", default=[512, 1024])
    words.add_argument("--rounds", type=int, default=3, help="turns of each engine that count")
    words.add_argument("--steps", type=int, default=10, help="steps of a turn that count")
    words.add_argument("--device", default="cuda", help="cuda or cpu")
    words.add_argument("--shared", type=Path, help="the folder that has networks/")
    words.add_argument("--first", action="store_true", help="time first dreams instead")
    options = words.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        words.error("this PyTorch sees no GPU; --device cpu tries the program.")
    found = {name: _recipe_name(name, options.shared) for name in options.networks}
    known = {name: network for name, network in found.items() if network}
    for name in found.keys() - known.keys():
        _say(f"{name}: its weights are not here; see --shared.")
    if options.first:
        _first(known, options)
    else:
        _say(f"{machine.describe(torch.device(options.device))}\n")
        _race(known, options)


def _recipe_name(name: str, folder: Path | None) -> str:
    """Say what a recipe calls a network; nothing where its weights are not here."""
    if name in VARIANTS:
        return name if VARIANTS[name].package.is_installed() else ""
    if name not in FILES:
        return name
    path = folder and folder / "networks" / FILES[name]
    return f"{name}:{path}" if path and path.exists() else ""


def _race(networks: dict[str, str], options: argparse.Namespace) -> None:
    device = torch.device(options.device)
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    _say(f"| ms plain / ours = ratio | {' | '.join(options.precisions)} |")
    _say(f"| --- | {' | '.join('--:' for _ in options.precisions)} |")
    slower = []
    for name, network in networks.items():
        for size in options.sizes:
            for kind in options.kinds:
                cells = []
                for precision in options.precisions:
                    runs = {
                        "plain": plain(network, kind, precision, size, device),
                        "ours": ours(network, kind, precision, size, device),
                    }
                    times = race(runs, options.rounds, options.steps, wait)
                    found = ratio(times["plain"], times["ours"])
                    middle = {each: statistics.median(times[each]) for each in times}
                    cells.append(f"{middle['plain']:.1f} / {middle['ours']:.1f} = {found:.2f}")
                    if found < 1:
                        slower.append(f"{name} {size} {kind} {precision}: {found:.2f}")
                _say(f"| {name} {size} {kind} | {' | '.join(cells)} |")
        release()
    _say("\nslower than plain autograd: " + ("; ".join(slower) or "nothing"))


def ours(network: str, kind: str, precision: str, size: int, device: torch.device) -> Run:
    """`reverie.dream` itself, one octave."""
    layer = load_network(network).default_layer
    change = f" - {WEIGHT}*total_variation(of=change)" if kind == "change" else ""
    recipe = Recipe(
        network=network,
        objective=f"layer({layer!r}){change}",
        octaves=1,
        laplacian=BANDS if kind == "laplacian" else 0,
    ).evolve(precision=precision)
    image = picture(size).to(device)

    def run(steps: int, tick: Callable[[], None]) -> None:
        dream(image, recipe.evolve(steps=steps), device=device, on_step=lambda _: tick())

    return run


def plain(network: str, kind: str, precision: str, size: int, device: torch.device) -> Run:
    """The same step in plain PyTorch."""
    loaded = load_network(network)
    path = loaded.layer(loaded.default_layer).name
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    module = _folded(copy.deepcopy(loaded._module)).to(device, dtype)
    seen = _up_to(path, module.to(memory_format=torch.channels_last))
    mean = torch.tensor(loaded.record.mean, device=device).view(1, 3, 1, 1)
    std = torch.tensor(loaded.record.std, device=device).view(1, 3, 1, 1)
    original = picture(size).to(device)

    def gradient_of(rolled: Tensor, beside: Tensor) -> Tensor:
        rolled = rolled.detach().requires_grad_()
        normal = ((rolled - mean) / std).to(dtype, memory_format=torch.channels_last)
        value = seen(normal).float().square().mean() / 2
        if kind == "change":
            value = value - WEIGHT * _variation(rolled - beside)
        (gradient,) = torch.autograd.grad(value, rolled)
        return lapnorm(gradient, BANDS) if kind == "laplacian" else gradient

    def run(steps: int, tick: Callable[[], None]) -> None:
        image, beside = original, torch.roll(original, SHIFT, (2, 3))
        for _ in range(steps):
            rolled = torch.roll(image, SHIFT, (2, 3))
            gradient = gradient_of(rolled, beside)
            rolled = rolled + STEP / gradient.abs().mean() * gradient
            image = torch.roll(rolled, (-SHIFT[0], -SHIFT[1]), (2, 3)).clamp(0, 1)
            tick()

    return run


class _EnoughError(Exception):
    """Ends the network behind its layer."""


def _up_to(path: str, module: nn.Module) -> Callable[[Tensor], Tensor]:
    found: list[Tensor] = []

    def keep(_module: nn.Module, _given: object, output: Tensor) -> None:
        found.append(output)
        raise _EnoughError

    module.get_submodule(path).register_forward_hook(keep)

    def seen(normal: Tensor) -> Tensor:
        with suppress(_EnoughError):
            module(normal)
        return found.pop()

    return seen


def _variation(image: Tensor) -> Tensor:
    down, right = image.diff(dim=2), image.diff(dim=3)
    return (down.abs().sum() + right.abs().sum()) / image[0].numel()


def _folded(module: nn.Module) -> nn.Module:
    """Fold each BatchNorm that stands behind its convolution, as people do by hand."""
    for parent in module.modules():
        for (before, conv), (name, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, before, fuse_conv_bn_eval(conv, norm))
                setattr(parent, name, nn.Identity())
    return module.requires_grad_(requires_grad=False)


FIRST = """
import json, sys, time
marks = {}
def mark(name):
    global last
    if device == "cuda" and name != "import torch":
        torch.cuda.synchronize()
    marks[name], last = time.perf_counter() - last, time.perf_counter()
network, precision, size, device = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
last = time.perf_counter()
import torch
mark("import torch")
torch.zeros(1, device=device) + 1
mark("start the GPU")
if network == "PyTorch alone":
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    order = torch.channels_last
    image = torch.rand(1, 32, size, size, device=device, dtype=dtype).to(memory_format=order)
    image.requires_grad_()
    for name, groups in (("convolution", 1), ("depthwise", 32)):
        weight = torch.rand(32, 32 // groups, 3, 3, device=device, dtype=dtype)
        for time_of in (name, name + ", again"):
            out = torch.nn.functional.conv2d(image, weight, padding=1, groups=groups)
            torch.autograd.grad(out, image, torch.ones_like(out))
            mark(time_of)
else:
    import reverie
    from reverie.networks.loading import load_network
    mark("import reverie")
    load_network(network)
    mark("load")
    image = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    recipe = reverie.Recipe(network=network, precision=precision)
    for name in ("first dream", "second dream"):
        reverie.dream(image, recipe, device=device)
        mark(name)
heavy = ("sympy", "triton", "torch._dynamo", "torch._inductor")
marks["loaded"] = ", ".join(name for name in heavy if name in sys.modules) or "nothing heavy"
print(json.dumps(marks))
"""
"""What a process of its own runs; arguments: network, precision, px, device."""


def _first(networks: dict[str, str], options: argparse.Namespace) -> None:
    for name, network in {"PyTorch alone": "PyTorch alone", **networks}.items():
        for precision in options.precisions:
            for run in ("cold", "warm"):
                where = (str(options.sizes[0]), options.device)
                command = [sys.executable, "-c", FIRST, network, precision, *where]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                marks = json.loads(done.stdout.splitlines()[-1])
                heavy = marks.pop("loaded")
                seconds = ", ".join(f"{part} {took:.2f}" for part, took in marks.items())
                _say(f"{name}, {precision}, {run}: {seconds} s; {heavy} loaded")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
