"""How much a step has to do at least, whoever does it: FLOPs, and bytes to and from memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from networks import private

if TYPE_CHECKING:
    from networks import BenchNetwork

_NEEDED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
"""What no engine can leave out; activations, concatenation and BatchNorm can be done on the way."""


@dataclass(frozen=True)
class Work:
    """Of the network up to the layer, on one picture."""

    forward: float
    """FLOPs; a multiplication with its addition is two."""
    backward: float
    """FLOPs of the gradient of the picture; that of the weights is not wanted."""
    numbers: float
    """How many numbers are read and written at least: each convolution and pool reads its input and
    writes its output once forwards, and the gradients of both once backwards; weights twice."""


def count(network: BenchNetwork, size: int) -> Work:
    """Count by running on "meta", which computes nothing."""
    module = private(network.cut).to("meta")
    moved = [2.0 * sum(weight.numel() for weight in module.parameters())]

    def note(_module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        moved.append(2.0 * (inputs[0].numel() + output.numel()))

    for part in module.modules():
        if isinstance(part, _NEEDED):
            part.register_forward_hook(note)
    image = torch.empty(1, 3, size, size, device="meta", requires_grad=True)
    with FlopCounterMode(display=False) as forward:
        out = module(image)
    with FlopCounterMode(display=False) as backward:
        torch.autograd.grad(out, image, out.detach())
    return Work(forward.get_total_flops(), backward.get_total_flops(), sum(moved))
