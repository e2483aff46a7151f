"""Puts weights into a network, or says in one sentence how they differ from what it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reverie.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

_SHOWN = 3
"""How many missing weights a sentence names."""


def fit_weights(module: nn.Module, state: Mapping[str, Tensor], name: str, path: Path) -> None:
    """Load a state dict under the module's own names; what the module does not have is left out.

    Args:
        module: changed in place.
        state: names to tensors.
        name: the network's, for the sentence.
        path: the file's, likewise.
    Raises:
        WeightsError: something is missing or has another shape.
    """
    needed = {
        key: value
        for key, value in module.state_dict().items()
        if not key.endswith("num_batches_tracked")  # counts steps of training, and nothing reads it
    }
    if missing := [key for key in needed if key not in state]:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise WeightsError(
            f"{path} is incomplete or not for {name}: {len(missing)} of {len(needed)} weights are "
            f"missing, {', '.join(missing[:_SHOWN])}{more}; check the file."
        )
    for key, value in needed.items():
        if state[key].shape != value.shape:
            raise WeightsError(
                f"{path} is for another network than {name}: its {key} has the shape "
                f"{tuple(state[key].shape)}, not {tuple(value.shape)}; check the file."
            )
    module.load_state_dict({key: state[key] for key in needed}, strict=False)
