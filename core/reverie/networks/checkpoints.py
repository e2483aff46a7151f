"""Brings weights, as people have them, under the names of the network that they are for.

Training scripts keep a network as a part of something larger, so that a word stands before each
name; classifiers are cut off for other tasks; and pictures of other kinds have other channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reverie.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from torch import nn

_SHOWN = 3
"""How many names a sentence says."""
_COLOURS = 3
_KERNEL = 4
"""Dimensions of a convolution's weights."""
COUNTER = "num_batches_tracked"
"""Counts steps of training; PyTorch before 0.4.1 had none, and nothing reads it."""


def under_own_names(state: Mapping[str, Tensor], needed: Iterable[str]) -> dict[str, Tensor]:
    """Take away what stands before the names that a network needs, and what is not its part.

    Args:
        state: names to tensors, for instance "model.backbone.conv1.weight".
        needed: the network's own names, for instance "conv1.weight".
    Returns:
        The state with the prefix taken away under which most of the names are found; as it is, if
        none finds more.
    """
    wanted = list(needed)
    known = set(wanted)
    probes = {wanted[0], wanted[len(wanted) // 2], wanted[-1]} if wanted else set()
    prefixes = {key[: -len(end)] for end in probes for key in state if key.endswith(f".{end}")}

    def found(prefix: str) -> int:
        return sum(key[len(prefix) :] in known for key in state if key.startswith(prefix))

    best = max(["", *sorted(prefixes, key=len)], key=found)
    return {key[len(best) :]: value for key, value in state.items() if key.startswith(best)}


def lacks_only(state: Mapping[str, Tensor], needed: Iterable[str], head: str) -> list[str]:
    """List what a state lacks of a network, if that is its classifier or a part of it.

    Args:
        state: names to tensors.
        needed: the network's own names.
        head: its last layer, for instance "classifier.6": all of "classifier" may be missing.
    Returns:
        Names that are needed; none if nothing is missing, or more than that.
    """
    part = head.partition(".")[0]
    missing = [key for key in needed if key not in state and not key.endswith(COUNTER)]
    is_head = all(key.startswith(f"{part}.") for key in missing)
    return missing if is_head and len(missing) < len(list(needed)) else []


def nothing(like: Tensor) -> Tensor:
    """Make zeros in the shape of a tensor that take no memory."""
    return torch.zeros((), dtype=torch.float32, device="cpu").expand(like.shape)


def refuse_misfit(state: Mapping[str, Tensor], module: nn.Module, name: str, path: Path) -> None:
    """Raise WeightsError with the one thing that most likely is wrong, if weights do not fit.

    Args:
        state: names to tensors, under the network's own names.
        module: the network.
        name: the network's, for the sentence.
        path: the file's, likewise.
    """
    needed: Mapping[str, Tensor] = module.state_dict()
    start = f"the weights {str(path)!r} do not fit the network {name!r}"
    first = next((key for key, value in needed.items() if value.ndim == _KERNEL), "")
    if first in state and state[first].ndim == _KERNEL:
        given, wanted = state[first].shape, needed[first].shape
        if given[1] != wanted[1] == _COLOURS:
            raise WeightsError(
                f"{start}: they are for pictures of {given[1]} channel{'s' * (given[1] != 1)}, and "
                f"here a picture has 3, red, green and blue; use weights for those."
            )
    missing = [key for key in needed if key not in state and not key.endswith(COUNTER)]
    if missing:
        raise WeightsError(
            f"{start}: {len(missing)} of {len(needed)} are missing, {_some(missing)}; "
            "name the network that they were made for."
        )
    for key, value in needed.items():
        if key in state and state[key].shape != value.shape:
            raise WeightsError(
                f"{start}: {key} has the shape {tuple(state[key].shape)}, not "
                f"{tuple(value.shape)}; name the network that they were made for."
            )
    # What a layer keeps besides its weights does no harm, but layers that are not there do.
    parts = dict(module.named_modules())
    if others := [key for key in state if key.rpartition(".")[0] not in parts]:
        raise WeightsError(
            f"{start}, which has no {_some(others)}; name the network that they were made for."
        )


def _some(keys: list[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(repr(key)[1:-1][:60] for key in keys[:_SHOWN]) + more
