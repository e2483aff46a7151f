"""Imports torchvision without PyTorch's compiler: 0.2 s instead of 1.8 s before the first step.

torchvision 0.29 asks `torch._dynamo` a single question, in one of its detection operators, and that
import loads the whole compiler. No classifier needs the answer, so the question waits until it is
asked.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMPILER = "torch._dynamo"
_QUESTION = "is_compile_supported"


def import_torchvision(*, alone: bool = False) -> None:
    """Import `torchvision.models`, which is then found at once by an ordinary import.

    Where there are other threads, nothing is done: one of them could import the compiler meanwhile,
    or ask whether it is there, and would meet what stands in for it.

    Args:
        alone: the caller knows that no other thread imports PyTorch's compiler or torchvision
            meanwhile. Only a process of ours can.
    """
    # Frames are those of threads that Python does not manage, too.
    others = max(threading.active_count(), len(sys._current_frames())) > 1  # noqa: SLF001
    if (others and not alone) or {_COMPILER, "torchvision"} & sys.modules.keys():
        return  # a program that has the compiler, has it
    try:
        with _without_compiler():
            import torchvision.models  # noqa: F401
    except (ImportError, AttributeError):  # a release that asks for more: the ordinary way
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]


@contextmanager
def _without_compiler() -> Iterator[None]:
    """Put a stand-in into the compiler's place that answers by importing the real one."""

    def ask(*args: object) -> object:
        from torch._dynamo import utils

        return getattr(utils, _QUESTION)(*args)

    package, utils = ModuleType(_COMPILER), ModuleType(f"{_COMPILER}.utils")
    setattr(utils, _QUESTION, ask)
    stand_ins = {_COMPILER: package, f"{_COMPILER}.utils": utils}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]
