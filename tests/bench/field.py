"""Who takes part: reads the command's words, and makes engines of them."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from engines import PRECISIONS, classic, ours
from peers import lucent, neural_dream, pytorch_deepdream

if TYPE_CHECKING:
    from collections.abc import Callable

    from engines import Engine
    from networks import BenchNetwork

    Maker = Callable[[BenchNetwork, torch.device], Engine]

NETWORKS = ("googlenet", "squeezenet", "embedded")
CPU_SIZES, GPU_SIZES = (224, 512, 1024), (512, 1024, 2048)
"""px, of square pictures."""


def parser(description: str) -> argparse.ArgumentParser:
    """Describe the options of the command."""
    words = argparse.ArgumentParser(description=description)
    words.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    words.add_argument("--sizes", nargs="+", type=int, metavar="PX", help="sides of the pictures")
    words.add_argument("--rounds", type=int, default=7, help="turns of each engine")
    words.add_argument("--steps", type=int, default=2, help="steps of a turn that count")
    words.add_argument("--threads", type=int, help="of PyTorch; default: its own")
    words.add_argument(
        "--cpu-time",
        action="store_true",
        help="count the process's own time, all threads together: for a busy machine",
    )
    words.add_argument("--device", default="cpu", help="cpu or cuda")
    words.add_argument("--squeezenet", type=Path, metavar="FILE", help="SqueezeNet 1.0's weights")
    words.add_argument("--pytorch-deepdream", type=Path, metavar="DIR", help="gordicaleksa's")
    words.add_argument("--neural-dream", type=Path, metavar="DIR", help="ProGamerGov's")
    words.add_argument("--lucent", type=Path, metavar="DIR", help="greentfrapp's")
    words.add_argument("--memory", action="store_true", help="measure memory, not time")
    words.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    words.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    return words


def check(words: argparse.ArgumentParser, options: argparse.Namespace) -> torch.device:
    """Find the device, or end with a sentence."""
    device = torch.device(options.device)
    if device.type not in {"cpu", "cuda"}:
        words.error(f"--device {options.device}: only cpu and cuda are measured.")
    if device.type == "cuda" and not torch.cuda.is_available():
        words.error("--device cuda: this PyTorch sees no GPU; leave it out for the processor.")
    if device.type == "cpu" and torch.cuda.is_available() and peers(options):
        words.error("the peers take a GPU when they see one; hide it: CUDA_VISIBLE_DEVICES=")
    if options.lucent and options.sizes and min(options.sizes) < 224:
        words.error("--sizes: lucent enlarges what is smaller than 224 px; leave one of them out.")
    return device


def makers(options: argparse.Namespace) -> dict[str, Maker]:
    """What makes each engine for a network: the classic loop, the peers, then ours."""
    precise: dict[str, Maker] = {name: partial(ours, precision=name) for name in PRECISIONS}
    return {"classic": classic, **peers(options), **precise}


def peers(options: argparse.Namespace) -> dict[str, Maker]:
    """Those whose checkouts are given."""
    given: dict[str, Maker] = {}
    if options.pytorch_deepdream:
        given["gordicaleksa"] = partial(pytorch_deepdream, options.pytorch_deepdream)
    if options.neural_dream:
        given["neural-dream"] = partial(neural_dream, options.neural_dream)
    if options.lucent:
        given["lucent"] = partial(lucent, options.lucent)
        given["lucent frozen"] = partial(lucent, options.lucent, frozen=True)
    return given
