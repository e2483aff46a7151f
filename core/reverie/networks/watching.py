"""Watches what the modules of a network give while it runs, and stops it when enough is seen."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


class SeenEnough(BaseException):
    """Raise it from `notice` to end the network's run; nothing failed.

    Not an `Exception`, which a network might catch itself.
    """


def watchable(module: nn.Module) -> list[str]:
    """Return the paths of the modules that can be watched: all but those of TorchScript."""
    parts = module.named_modules()
    return [path for path, part in parts if path and not isinstance(part, torch.jit.ScriptModule)]


@contextmanager
def watched(
    module: nn.Module, paths: Iterable[str], notice: Callable[[str, Tensor], None]
) -> Iterator[None]:
    """Tell of what modules give, as long as this is entered.

    Args:
        module: the network; its own hooks run before.
        paths: dotted paths of the modules.
        notice: called with the path and the tensor when a module ends for the first time, unless
            it gives something else than a tensor.
    """
    seen: set[str] = set()

    def watch(path: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if path not in seen and isinstance(output, Tensor):
                seen.add(path)
                notice(path, output)

        return hook

    handles = [module.get_submodule(path).register_forward_hook(watch(path)) for path in paths]
    try:
        yield
    except SeenEnough:
        pass
    finally:
        for handle in handles:
            handle.remove()


def outputs_of(module: nn.Module, picture: Tensor, paths: Sequence[str]) -> dict[str, Tensor]:
    """Run a network as it is, no further than needed, and return what some modules give."""
    seen: dict[str, Tensor] = {}

    def notice(path: str, output: Tensor) -> None:
        is_last = len(seen) + 1 == len(paths)
        # A later module may add to this tensor in place (ResNet does): keep it as it is now.
        seen[path] = output if is_last else output.clone()
        if is_last:
            raise SeenEnough

    with watched(module, paths, notice):
        module(picture)
    return seen
