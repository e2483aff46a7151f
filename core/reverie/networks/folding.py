"""Folds BatchNorm into the convolution before it: fewer operations, the same numbers."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, cast

from torch import fx, nn
from torch.nn.utils import fuse_conv_bn_eval

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_log = logging.getLogger(__name__)


def fold_batch_norm(module: nn.Module, keep: Collection[str]) -> None:
    """Fold, in place, each BatchNorm2d that alone follows a convolution.

    Args:
        module: in evaluation mode; left as it is if it cannot be traced.
        keep: layers whose own output is wanted; what would change it is not folded.
    """
    try:
        graph = fx.Tracer().trace(module)
    except Exception as error:  # noqa: BLE001 - tracing runs somebody else's forward
        _log.debug("not traceable, BatchNorm stays: %s", error)
        return
    for convolution, norm in _pairs(graph, module):
        if not any(_ends_between(path, convolution, norm) for path in keep):
            replace_module(
                module,
                convolution,
                fuse_conv_bn_eval(
                    cast("nn.Conv2d", module.get_submodule(convolution)),
                    cast("nn.BatchNorm2d", module.get_submodule(norm)),
                ),
            )
            replace_module(module, norm, nn.Identity())


def _ends_between(path: str, convolution: str, norm: str) -> bool:
    """Tell whether a layer gives what the convolution gave, before the BatchNorm changed it."""
    return f"{convolution}.".startswith(f"{path}.") and not f"{norm}.".startswith(f"{path}.")


def replace_module(module: nn.Module, path: str, part: nn.Module) -> None:
    """Put another module in the place of the one at a dotted path."""
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, part)


def _pairs(graph: fx.Graph, module: nn.Module) -> Iterator[tuple[str, str]]:
    parts = dict(module.named_modules(remove_duplicate=False))
    calls = [node for node in graph.nodes if node.op == "call_module"]
    uses = Counter(id(parts[str(node.target)]) for node in calls)
    for node in calls:
        norm, before = parts[str(node.target)], node.all_input_nodes[0]
        if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None:
            continue
        convolution = parts.get(str(before.target)) if before.op == "call_module" else None
        # Subclasses may do more than convolve; what is used twice can be folded only once.
        if (
            type(convolution) is nn.Conv2d
            and len(before.users) == uses[id(convolution)] == uses[id(norm)] == 1
        ):
            yield str(before.target), str(node.target)
