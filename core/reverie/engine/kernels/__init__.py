"""What runs between the convolutions of a frozen network: pools, masks, joins, and both ends.

There are two implementations: `compiled`, of C, for the CPU, where `build` has built it; and
`plain`, of PyTorch, everywhere else.
"""

from __future__ import annotations

import logging
import os
from functools import cache
from typing import TYPE_CHECKING

from reverie.engine.kernels.protocol import NOBODY, Kernels, Mask, Padding, Window, Winners
from reverie.errors import ReverieError

if TYPE_CHECKING:
    import torch

_log = logging.getLogger(__name__)

VARIABLE = "REVERIE_KERNELS"
"""The environment variable that forces the plain kernels."""


def choose(device: torch.device | None = None) -> Kernels:
    """Give the best kernels for a device, the CPU by default; REVERIE_KERNELS=plain forces those.

    Raises:
        ReverieError: REVERIE_KERNELS is something else.
    """
    if device is not None and device.type != "cpu":
        return _plain()
    return _chosen(os.environ.get(VARIABLE, ""))[0]


def describe() -> str:
    """Say in one line which kernels the CPU has, and why not the compiled ones."""
    return _chosen(os.environ.get(VARIABLE, ""))[1]


@cache
def _chosen(wish: str) -> tuple[Kernels, str]:
    if wish not in {"", "plain"}:
        raise ReverieError(
            f"{VARIABLE}: {wish!r} is unknown; set it to plain, or unset it for the best kernels."
        )
    kernels, reason = (None, f"{VARIABLE} is set") if wish else _compiled()
    if kernels is None:
        kernels, line = _plain(), f"plain kernels: {reason}"
    else:
        line = f"compiled kernels: {reason}"
    _log.debug("%s", line)
    return kernels, line


@cache
def _plain() -> Kernels:
    from reverie.engine.kernels.plain import PlainKernels

    return PlainKernels()


def _compiled() -> tuple[Kernels | None, str]:
    """Load the compiled kernels; the reason why they are not to be had, or what they are."""
    from reverie.engine.kernels import build

    path = build.find()
    if path is None:
        return None, "not compiled yet; run: python -m reverie.engine.kernels.build"
    from reverie.engine.kernels.check import differences
    from reverie.engine.kernels.compiled import CompiledKernels

    anew = "delete it and run: python -m reverie.engine.kernels.build"
    try:
        kernels = CompiledKernels(path)
    except (OSError, AttributeError) as error:
        return None, f"{path} cannot be loaded ({error}); {anew}"
    wrong = differences(kernels, _plain())
    if wrong:
        return None, f"{path} computes {wrong} wrongly; {anew}, and report it"
    return kernels, str(kernels)


__all__ = [
    "NOBODY",
    "VARIABLE",
    "Kernels",
    "Mask",
    "Padding",
    "Window",
    "Winners",
    "choose",
    "describe",
]
