"""The gradient of a picture through a frozen network, with no tape: little kept, little moved.

Autograd keeps every activation and treats the weights as if they could change. Here the weights are
constants: BatchNorm and the input's normalisation are folded into them, a stride-2 stem reads the
picture folded 2 x 2, and between forward and backward only masks and winners stay (operations.py).
What is unknown is left to autograd, so any network that can be recorded runs, with the same
gradients.
"""

from __future__ import annotations

import logging
import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from reverie.engine.gradient import no_gradient
from reverie.engine.jitter import roll, unroll
from reverie.engine.kernels import Kernels, choose
from reverie.engine.operations import Convolution, Gradients, Segment, Unfreezable, dense
from reverie.engine.reference import activations_of
from reverie.engine.strips import in_strips
from reverie.engine.tracing import Traced, trace
from reverie.networks.program import PICTURE
from reverie.objectives import INPUT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reverie.engine.reference import Reference
    from reverie.networks.prepared import PreparedNetwork
    from reverie.networks.program import Program, Slot
    from reverie.objectives import Objective

_log = logging.getLogger(__name__)

_Pair = tuple[int, int]
_FOLDED_STEMS = range(3, 9)
"""Kernel sizes in px of the stride-2 stems that are read from the picture folded 2 x 2."""


def freeze(
    network: PreparedNetwork, back: torch.dtype, shape: tuple[int, ...] = (1, 3, 224, 224)
) -> FrozenNetwork | None:
    """Make the tape-free form of a network, once; None where only autograd can run it.

    Args:
        network: prepared for its layers, in the precision of the forward.
        back: the precision of the backward.
        shape: of the pictures (N, 3, H, W), which matters where no program does for all.
    """
    if network.record.window is not None or network.derived.get(_FORBIDDEN):
        return None
    program = network.program(shape)
    if program is None:
        forbid(network, Unfreezable("there is no program of it"))
        return None
    if program.is_cut:
        raise no_gradient(network.record.name)
    if back not in program.derived:
        with torch.no_grad():
            program.derived[back] = FrozenNetwork(network, program, back)
    frozen: FrozenNetwork = program.derived[back]
    return frozen


def can_freeze(network: PreparedNetwork) -> bool:
    """Tell whether a network has, as far as is known, a tape-free form."""
    is_possible = network.record.window is None and network.has_program
    return is_possible and not network.derived.get(_FORBIDDEN)


def forbid(network: PreparedNetwork, reason: Unfreezable) -> None:
    """Leave a network to autograd from now on."""
    _log.debug("%s runs with autograd: %s", network.record.name, reason)
    network.derived[_FORBIDDEN] = True


_FORBIDDEN = "forbidden"


class FrozenNetwork:
    """Computes gradients of objectives; see `freeze`.

    Attributes:
        operations: what the network does, in order.
    """

    def __init__(self, network: PreparedNetwork, program: Program, back: torch.dtype) -> None:
        self._network = weakref.proxy(network)  # which keeps this: a circle would outlive release()
        self._traced = trace(program, network.dtype, back)
        self._back = back
        self._kernels: Kernels = choose(network.device)
        self._entry = _Entry(network, self._traced, back)
        self._wanted = set(self._traced.layers.values())
        self.operations = in_strips(self._traced.operations, self._wanted)
        self._last_use = {
            slot: number
            for number, operation in enumerate(self.operations)
            for slot in operation.inputs
        }

    @property
    def lacks_bf16(self) -> bool:
        """Some of it was computed in float32, because this device has no bf16 for it."""
        return any(isinstance(each, Segment) and each.wide for each in self.operations)

    def gradient(
        self,
        objective: Objective,
        image: Tensor,
        shift: tuple[int, int] = (0, 0),
        reference: Reference | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Value and gradient of an objective; as `engine.gradient.image_gradient`, but faster.

        Raises:
            Unfreezable: on the first picture, it turned out that only autograd can do it.
        """
        beside: dict[str, Tensor] = {}
        if reference is not None:  # first, so that what is kept for the way back is not there yet
            beside = activations_of(reference, objective, shift, self._see)
        with torch.no_grad():
            found, kept = self._forward(image, shift)
        value, brought, direct = self._climb(objective, found, image, shift, beside)
        with torch.no_grad():
            gradient = self._backward(brought, kept, image, shift)
            if direct is not None:
                gradient += direct
        return value, gradient

    def _see(self, image: Tensor, shift: tuple[int, int]) -> dict[str, Tensor]:
        """Give the activations of a picture that is only looked at."""
        found, _ = self._forward(image, shift)
        outputs = {path: found[slot].float() for path, slot in self._traced.layers.items()}
        given: dict[str, Tensor] = self._network.given(outputs, image)
        return given

    def _climb(
        self,
        objective: Objective,
        found: dict[Slot, Tensor],
        image: Tensor,
        shift: tuple[int, int],
        beside: Mapping[str, Tensor],
    ) -> tuple[Tensor, Gradients, Tensor | None]:
        """Give the objective's value, and its gradients for the layers and for the picture itself.

        What autograd keeps for that is gone when this returns: a layer in float32 is large.
        """
        leaves = {path: found.pop(slot).float() for path, slot in self._traced.layers.items()}
        for leaf in leaves.values():
            leaf.requires_grad_()
        picture = image
        if INPUT in objective.layers:
            picture = roll(image, shift).detach().requires_grad_()
        value = objective.value({**self._network.given(leaves, picture), **beside})
        ends = [*leaves.values(), *([picture] if picture.requires_grad else [])]
        found_gradients = list(torch.autograd.grad(value.sum(), ends, allow_unused=True))
        direct = found_gradients.pop() if picture.requires_grad else None
        gradients = Gradients(self._back)
        for slot in reversed([*self._traced.layers.values()]):
            gradient = found_gradients.pop()
            if gradient is not None:
                # Autograd may give a tensor without memory of its own, or one to two layers.
                is_map = gradient.ndim == 4  # noqa: PLR2004 - else a linear layer's, or tokens
                order = torch.channels_last if is_map else torch.preserve_format
                gradients.put(slot, gradient.to(self._back, memory_format=order, copy=True))
        return value.detach(), gradients, None if direct is None else unroll(direct, shift)

    def _forward(
        self, image: Tensor, shift: tuple[int, int]
    ) -> tuple[dict[Slot, Tensor], list[Any]]:
        """Run to the layers; give them, and what each operation keeps for the way back."""
        values: dict[Slot, Any] = {PICTURE: self._entry.forward(image, shift, self._kernels)}
        kept = []
        for number, operation in enumerate(self.operations):
            kept.append(operation.forward(values, self._kernels))
            for slot in operation.inputs:
                if self._last_use[slot] == number and slot not in self._wanted:
                    values.pop(slot, None)
        return values, kept

    def _backward(
        self, gradients: Gradients, kept: list[Any], image: Tensor, shift: tuple[int, int]
    ) -> Tensor:
        for operation in reversed(self.operations):
            operation.backward(gradients, kept.pop(), self._kernels)
        arrived = gradients.take(PICTURE)
        if arrived is None:
            return torch.zeros_like(image)
        return self._entry.backward(arrived, image, shift, self._kernels)


class _Entry:
    """From pictures in 0..1 to what the network reads, and from its gradient back.

    Where a convolution alone reads the picture, its weights take over the division by the standard
    deviation. If it has a stride of 2 too, it reads 2 x 2 pixels as 12 channels with a stride of 1,
    because no convolution is as slow as one back to three channels (9 to 20 % of a step).
    """

    def __init__(self, network: PreparedNetwork, traced: Traced, back: torch.dtype) -> None:
        self._mean = tuple(network.record.mean)
        self._dtype = network.dtype
        std = torch.tensor(network.record.std, dtype=torch.float32, device=network.device)
        self._scale = 1 / std.view(1, 3, 1, 1)
        self._is_scaled = False
        self._stem: tuple[_Pair, _Pair, _Pair, _Pair] | None = None
        """Kernel, padding at top and left, at bottom and right, and the kernel when folded."""
        readers = [op for op in traced.operations if PICTURE in op.inputs]
        if len(readers) == 1 and isinstance(readers[0], Convolution):
            self._take_over(readers[0], back)

    def _take_over(self, stem: Convolution, back: torch.dtype) -> None:
        if stem.groups != 1 or stem.weight.shape[1] != 3:  # noqa: PLR2004
            return
        self._is_scaled = True
        weight = stem.weight.float() * self._scale
        kernel = (weight.shape[2], weight.shape[3])
        if stem.stride == (2, 2) and stem.dilation == (1, 1) and set(kernel) <= set(_FOLDED_STEMS):
            left, right, top, bottom = stem.zeros or (0, 0, 0, 0)
            down, across = stem.padding
            begin, end = (down + top, across + left), (down + bottom, across + right)
            self._stem = (kernel, begin, end, _folded_kernel(kernel, begin))
            weight = _folded(weight, begin, self._stem[3])
            stem.stride, stem.padding, stem.zeros = (1, 1), (0, 0), ()
        stem.weight = dense(weight.to(stem.weight.dtype))
        stem.set_back(weight, back)

    def forward(self, image: Tensor, shift: tuple[int, int], kernels: Kernels) -> Tensor:
        """Give the network's input: rolled, normalised, padded, in its precision."""
        padding = self._padding(image)
        is_folded = self._stem is not None
        read = kernels.ingest(image, shift, self._mean, padding, is_folded, self._dtype)
        return read if self._is_scaled else read.mul_(self._scale.to(read.dtype))

    def backward(
        self, gradient: Tensor, image: Tensor, shift: tuple[int, int], kernels: Kernels
    ) -> Tensor:
        """Give the picture's gradient, float32, not rolled."""
        if not self._is_scaled:
            gradient = gradient.mul_(self._scale.to(gradient.dtype))
        size, padding = (image.shape[2], image.shape[3]), self._padding(image)
        is_folded = self._stem is not None
        return kernels.egest(dense(gradient), size, shift, padding, is_folded)

    def _padding(self, image: Tensor) -> tuple[int, int, int, int]:
        """How much to add at top, bottom, left and right, in px, so that the stem sees the same."""
        if self._stem is None:
            return 0, 0, 0, 0
        sides = []
        for length, kernel, begin, end, folded in zip(image.shape[2:], *self._stem, strict=True):
            before = begin + begin % 2
            outputs = (length + begin + end - kernel) // 2 + 1
            sides += [before, 2 * (outputs - 1) + folded - before - length]
        return sides[0], sides[1], sides[2], sides[3]


def _folded_kernel(kernel: tuple[int, int], padding: tuple[int, int]) -> tuple[int, int]:
    """The smallest even kernel that holds this one and leaves no pixel over."""
    sides = []
    for side, margin in zip(kernel, padding, strict=True):
        moved = side + margin % 2
        # An even one without padding may leave a last pixel unread.
        sides.append(moved + 2 if margin == 0 and side % 2 == 0 else moved + moved % 2)
    return sides[0], sides[1]


def _folded(weight: Tensor, padding: tuple[int, int], kernel: tuple[int, int]) -> Tensor:
    """Give stem weights (O, 3, k, k) for 2 x 2 pixels at a time: (O, 12, k / 2, k / 2)."""
    top, left = padding[0] % 2, padding[1] % 2
    bottom, right = kernel[0] - weight.shape[2] - top, kernel[1] - weight.shape[3] - left
    return functional.pixel_unshuffle(functional.pad(weight, (left, right, top, bottom)), 2)
