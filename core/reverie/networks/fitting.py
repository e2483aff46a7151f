"""Puts weights into a network, or says in one sentence how they differ from what it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reverie.networks.checkpoints import refuse_misfit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn


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
    own = {key: state[key] for key in module.state_dict() if key in state}
    refuse_misfit(own, module, name, path)
    module.load_state_dict(own, strict=False)  # counters of training may be missing
