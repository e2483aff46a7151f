"""Folds BatchNorm into the convolution before it: fewer operations, the same numbers."""

from __future__ import annotations

import logging
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
        keep: layers whose own output is wanted; a convolution among them is not folded.
    """
    try:
        graph = fx.Tracer().trace(module)
    except Exception as error:  # noqa: BLE001 - tracing runs somebody else's forward
        _log.debug("not traceable, BatchNorm stays: %s", error)
        return
    for convolution, norm in _pairs(graph, module):
        if convolution not in keep:
            replace_module(
                module,
                convolution,
                fuse_conv_bn_eval(
                    cast("nn.Conv2d", module.get_submodule(convolution)),
                    cast("nn.BatchNorm2d", module.get_submodule(norm)),
                ),
            )
            replace_module(module, norm, nn.Identity())


def replace_module(module: nn.Module, path: str, part: nn.Module) -> None:
    """Put another module in the place of the one at a dotted path."""
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, part)


def _pairs(graph: fx.Graph, module: nn.Module) -> Iterator[tuple[str, str]]:
    for node in graph.nodes:
        if node.op != "call_module" or not isinstance(
            module.get_submodule(str(node.target)), nn.BatchNorm2d
        ):
            continue
        (before,) = node.all_input_nodes
        if (
            before.op == "call_module"
            and type(module.get_submodule(str(before.target))) is nn.Conv2d
            and len(before.users) == 1
        ):
            yield str(before.target), str(node.target)
