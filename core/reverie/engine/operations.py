"""What a frozen network is made of: operations that go forward, and back with little kept.

The weights never change, so only the gradient of the picture is wanted: a convolution keeps nothing
of its input, a ReLU one bit, and maximum pooling the winner of each window. What is unknown here is
left to autograd, as a `Segment`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from reverie.networks.program import lacks_bf16

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from reverie.engine.kernels import Kernels, Mask, Window
    from reverie.networks.program import Call, Slot


class Unfreezable(Exception):  # noqa: N818 - the dream goes on with autograd, nothing failed
    """Raised where a network does what no operation here knows; plain autograd then takes over."""


class Gradients:
    """The gradients on their way back, by slot; what comes to one slot from several is added."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._held: dict[Slot, Tensor] = {}

    def take(self, slot: Slot) -> Tensor | None:
        """Take what has come to a slot, and forget it."""
        return self._held.pop(slot, None)

    def put(self, slot: Slot, gradient: Tensor) -> None:
        """Bring a gradient that nobody else will write into."""
        gradient = gradient.to(self.dtype)
        present = self._held.get(slot)
        self._held[slot] = gradient if present is None else present.add_(gradient)


class Operation(ABC):
    """One operation of a frozen network.

    Attributes:
        inputs: the slots that it reads.
        outputs: the slots that it writes.
    """

    def __init__(self, inputs: Sequence[Slot], outputs: Sequence[Slot]) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)

    @abstractmethod
    def forward(self, values: dict[Slot, Any], kernels: Kernels) -> Any:
        """Write the outputs into `values`, and give what `backward` needs."""

    @abstractmethod
    def backward(self, gradients: Gradients, kept: Any, kernels: Kernels) -> None:
        """Take the gradients of the outputs, and put those of the inputs."""


def read_once(operations: Sequence[Operation], wanted: Collection[Slot]) -> set[Slot]:
    """Give the values that one operation alone reads, so that it may be joined with their maker.

    Args:
        operations: all that there are.
        wanted: values that must be there as they are.
    """
    uses = Counter(slot for operation in operations for slot in operation.inputs)
    return {slot for slot, count in uses.items() if count == 1}.difference(wanted)


class Gate(Operation):
    """An operation that may end in a ReLU.

    Attributes:
        is_relu: it does, and its one output is never negative.
        limit: what that output is at most, 6 of a ReLU6; infinite for an ordinary ReLU.
        keeps_mask: a consumer sends gradients back to where the ReLU was closed.
    """

    is_relu = False
    limit = math.inf
    keeps_mask = False

    def end_in(self, relu: Relu) -> None:
        """Take over the ReLU after this."""
        self.is_relu, self.limit, self.outputs = True, relu.limit, relu.outputs

    def _gated(self, result: Tensor, kernels: Kernels) -> tuple[Tensor, Mask | None]:
        """Apply the ReLU, in place."""
        if not self.is_relu:
            return result, None
        result = dense(result)
        if self.keeps_mask:
            return kernels.relu_positive(result, self.limit)
        return _cut_off(result, self.limit), None

    def _taken(self, gradients: Gradients, mask: Mask | None, kernels: Kernels) -> Tensor | None:
        """Take the output's gradient as it is before the ReLU."""
        gradient = gradients.take(self.outputs[0])
        if gradient is None or mask is None:
            return gradient
        return kernels.masked(dense(gradient), mask)


def _cut_off(result: Tensor, limit: float) -> Tensor:
    """Apply a ReLU, in place."""
    return result.relu_() if math.isinf(limit) else result.clamp_(0, limit)


class Convolution(Gate):
    """A convolution, and the ReLU after it in the same pass where oneDNN can.

    Back, a stride of 1 is a convolution with the weights turned round, which sums onto what other
    branches brought; 3 to 7 % faster than the general backward convolution.
    """

    def __init__(
        self, call: Call, back: torch.dtype, source: Slot | None = None, zeros: Sequence[int] = ()
    ) -> None:
        """Take over a call of PyTorch's convolution by constant weights.

        Args:
            call: two-dimensional, not transposed.
            back: the precision of the backward.
            source: read this instead of the call's own input, which is this with `zeros` around.
            zeros: px at left, right, top and bottom.
        """
        image, weight, bias, stride, padding, dilation, _, _, groups = call.args
        super().__init__([image.slot if source is None else source], call.outputs)
        self.zeros = tuple(zeros)
        self.weight, self.bias = dense(weight), bias
        self.stride, self.padding = pair(stride), pair(padding)
        self.dilation, self.groups = pair(dilation), groups
        self.set_back(self.weight, back)

    def set_back(self, weight: Tensor, dtype: torch.dtype) -> None:
        """Make the weights of the way back."""
        self.back_padding = (0, 0)
        self.is_turned = False
        if self.stride == (1, 1):
            reach = [d * (k - 1) for d, k in zip(self.dilation, weight.shape[2:], strict=True)]
            self.back_padding = (reach[0] - self.padding[0], reach[1] - self.padding[1])
            self.is_turned = min(self.back_padding) >= 0
        if self.is_turned:
            apart = weight.reshape(self.groups, -1, *weight.shape[1:])
            weight = apart.transpose(1, 2).flatten(0, 1).flip(2, 3)
        self.back_weight = dense(weight.to(dtype))

    def forward(self, values: dict[Slot, Any], kernels: Kernels) -> tuple[Any, Mask | None]:
        """Convolve."""
        image = values[self.inputs[0]]
        image = functional.pad(image, self.zeros) if self.zeros else image
        result = values[self.outputs[0]] = self.run(image, self.padding)
        mask = kernels.positive(result, self.limit) if self.keeps_mask else None
        return image.shape[2:], mask

    def backward(
        self, gradients: Gradients, kept: tuple[Any, Mask | None], kernels: Kernels
    ) -> None:
        """Convolve back."""
        size, mask = kept
        gradient = self._taken(gradients, mask, kernels)
        if gradient is None:
            return
        slot = self.inputs[0]
        if self.is_turned:
            fuses = can_fuse(gradient) and not self.zeros
            present = gradients.take(slot) if fuses else None
            found = self.run_back(gradient, self.back_padding, onto=present)
        else:
            found = self._spread(gradient, size)
        gradients.put(slot, dense(functional.pad(found, [-n for n in self.zeros])))

    def run(self, image: Tensor, padding: tuple[int, int]) -> Tensor:
        """Convolve and apply the ReLU, in one pass by what PyTorch keeps for its compiler."""
        image = dense(image)
        if self.is_relu and can_fuse(image):
            is_plain = math.isinf(self.limit)
            name, numbers = ("relu", []) if is_plain else ("hardtanh", [0.0, self.limit])
            fused: Tensor = torch.ops.mkldnn._convolution_pointwise(  # noqa: SLF001
                image, self.weight, self.bias, padding, self.stride, self.dilation, self.groups,
                name, numbers, "",
            )  # fmt: skip
            return dense(fused)
        result = functional.conv2d(
            image, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )
        return dense(_cut_off(result, self.limit) if self.is_relu else result)

    def run_back(
        self, gradient: Tensor, padding: tuple[int, int], *, onto: Tensor | None = None
    ) -> Tensor:
        """Convolve with the weights turned round, and add to another gradient, written over."""
        gradient = dense(gradient)
        if onto is None:
            return functional.conv2d(
                gradient, self.back_weight, None, 1, padding, self.dilation, self.groups
            )
        summed: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
            dense(onto), gradient, self.back_weight, None, padding, (1, 1), self.dilation,
            self.groups, "add", 1.0, None, [], None,
        )  # fmt: skip
        return summed

    def _spread(self, gradient: Tensor, size: tuple[int, int]) -> Tensor:
        """Give the gradient of an input of (height, width) where the stride is not 1."""
        rest = [
            length - ((outputs - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1)
            for length, outputs, stride, padding, dilation, kernel in zip(
                size,
                gradient.shape[2:],
                self.stride,
                self.padding,
                self.dilation,
                self.back_weight.shape[2:],
                strict=True,
            )
        ]
        return functional.conv_transpose2d(
            dense(gradient),
            self.back_weight,
            None,
            self.stride,
            self.padding,
            rest,
            self.groups,
            self.dilation,
        )


def can_fuse(image: Tensor) -> bool:
    """Tell whether oneDNN can do a convolution together with what follows."""
    return image.device.type == "cpu" and _has_onednn(image.dtype)


@cache
def _has_onednn(dtype: torch.dtype) -> bool:
    if not (torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_convolution_pointwise_")):  # noqa: SLF001
        return False
    if dtype is torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001
    return dtype is torch.float32


def dense(image: Tensor) -> Tensor:
    """Give a map in the order of memory that all operations here expect."""
    return image.contiguous(memory_format=torch.channels_last)


class Scale(Gate):
    """A number for each channel to multiply by, and one to add: BatchNorm that cannot be folded."""

    def __init__(
        self, inputs: Sequence[Slot], outputs: Sequence[Slot], scale: Tensor, shift: Tensor
    ) -> None:
        super().__init__(inputs, outputs)
        self.scale, self.shift = scale.view(1, -1, 1, 1), shift.view(1, -1, 1, 1)

    def forward(self, values: dict[Slot, Any], kernels: Kernels) -> Mask | None:
        """Multiply and add."""
        result = torch.addcmul(self.shift, values[self.inputs[0]], self.scale)
        values[self.outputs[0]], mask = self._gated(result, kernels)
        return mask

    def backward(self, gradients: Gradients, kept: Mask | None, kernels: Kernels) -> None:
        """Multiply."""
        gradient = self._taken(gradients, kept, kernels)
        if gradient is not None:
            gradients.put(self.inputs[0], gradient.mul_(self.scale.to(gradient.dtype)))


class Add(Gate):
    """The sum of two values of one shape."""

    def forward(self, values: dict[Slot, Any], kernels: Kernels) -> Mask | None:
        """Add."""
        left, right = (values[slot] for slot in self.inputs)
        _check_sum(left, right)
        values[self.outputs[0]], mask = self._gated(left + right, kernels)
        return mask

    def backward(self, gradients: Gradients, kept: Mask | None, kernels: Kernels) -> None:
        """Send the gradient both ways."""
        gradient = self._taken(gradients, kept, kernels)
        if gradient is not None:
            gradients.put(self.inputs[0], gradient.clone())  # each may be written into
            gradients.put(self.inputs[1], gradient)


def _check_sum(left: Tensor, right: Tensor) -> None:
    if left.shape != right.shape:
        raise Unfreezable(f"a sum of {tuple(left.shape)} and {tuple(right.shape)}")


class Relu(Gate):
    """A ReLU by itself, where what comes before it is wanted too."""

    is_relu = True

    def __init__(
        self, inputs: Sequence[Slot], outputs: Sequence[Slot], limit: float = math.inf
    ) -> None:
        super().__init__(inputs, outputs)
        self.limit = limit

    def forward(self, values: dict[Slot, Any], kernels: Kernels) -> Mask | None:
        """Cut off what is negative, or above the limit."""
        image = values[self.inputs[0]]
        result = dense(image.relu() if math.isinf(self.limit) else image.clamp(0, self.limit))
        values[self.outputs[0]] = result
        return kernels.positive(result, self.limit) if self.keeps_mask else None

    def backward(self, gradients: Gradients, kept: Mask | None, kernels: Kernels) -> None:
        """Cut off where the ReLU was closed."""
        gradient = self._taken(gradients, kept, kernels)
        if gradient is not None:
            gradients.put(self.inputs[0], gradient)


class Silu(Operation):
    """x * sigmoid(x), plus what a residual connection adds to it, where there is a second input."""

    def forward(self, values: dict[Slot, Any], kernels: Kernels) -> Tensor:
        """Keep x, of which the slope is made."""
        image, *added = (dense(values[slot]) for slot in self.inputs)
        for other in added:
            _check_sum(image, other)
        values[self.outputs[0]] = kernels.silu(image, *added)
        return image

    def backward(self, gradients: Gradients, kept: Tensor, kernels: Kernels) -> None:
        """Multiply by the slope; what was added gets the gradient as it is."""
        gradient = gradients.take(self.outputs[0])
        if gradient is not None:
            gradient = dense(gradient)
            slot, *added = self.inputs
            gradients.put(slot, kernels.silu_backward(gradient, kept, keep=bool(added)))
            for other in added:
                gradients.put(other, gradient)


class MaxPool(Operation):
    """The largest value of each window.

    Attributes:
        is_closed: the input is never negative, and its zeros are closed ReLUs: a window of zeros
            has no winner, so that the winners are the mask of the ReLU too.
    """

    is_closed = False

    def __init__(self, inputs: Sequence[Slot], outputs: Sequence[Slot], window: Window) -> None:
        super().__init__(inputs, outputs)
        self.window = window

    def forward(self, values: dict[Slot, Any], kernels: Kernels) -> tuple[Any, Tensor]:
        """Pool."""
        image = dense(values[self.inputs[0]])
        result, winners = kernels.max_pool(image, self.window, closed=self.is_closed)
        values[self.outputs[0]] = result
        return image.shape[2:], winners

    def backward(self, gradients: Gradients, kept: tuple[Any, Tensor], kernels: Kernels) -> None:
        """Give each window's gradient to its winner."""
        gradient = gradients.take(self.outputs[0])
        if gradient is not None:
            slot, (size, winners) = self.inputs[0], kept
            present = gradients.take(slot)
            gradients.put(
                slot,
                kernels.max_pool_backward(
                    dense(gradient), winners, self.window, tuple(size), add=present
                ),
            )


class AvgPool(Operation):
    """The mean of each window."""

    def __init__(
        self,
        inputs: Sequence[Slot],
        outputs: Sequence[Slot],
        window: Window,
        *,
        count_include_pad: bool,
    ) -> None:
        super().__init__(inputs, outputs)
        self.window = window
        self.count_include_pad = count_include_pad

    def forward(self, values: dict[Slot, Any], kernels: Kernels) -> Any:
        """Pool."""
        image = dense(values[self.inputs[0]])
        values[self.outputs[0]] = kernels.avg_pool(
            image, self.window, count_include_pad=self.count_include_pad
        )
        return image.shape[2:]

    def backward(self, gradients: Gradients, kept: Any, kernels: Kernels) -> None:
        """Spread each window's gradient over it."""
        gradient = gradients.take(self.outputs[0])
        if gradient is not None:
            spread = kernels.avg_pool_backward(
                dense(gradient), self.window, tuple(kept), count_include_pad=self.count_include_pad
            )
            gradients.put(self.inputs[0], spread)


class EnergyPool(Operation):
    """The root of the mean square of each window; see `EnergyPool2d`."""

    def __init__(
        self, inputs: Sequence[Slot], outputs: Sequence[Slot], window: Window, quiet: float
    ) -> None:
        super().__init__(inputs, outputs)
        self.window = window
        self.quiet = quiet

    def forward(self, values: dict[Slot, Any], kernels: Kernels) -> tuple[Tensor, Tensor]:
        """Pool, and keep what went in and what came out."""
        image = dense(values[self.inputs[0]])
        result = values[self.outputs[0]] = kernels.energy_pool(image, self.window, self.quiet)
        return image, result

    def backward(self, gradients: Gradients, kept: tuple[Tensor, Tensor], kernels: Kernels) -> None:
        """The slope is x over the root and the number of values in the window."""
        gradient = gradients.take(self.outputs[0])
        if gradient is not None:
            image, result = kept
            found = kernels.energy_pool_backward(dense(gradient), image, result, self.window)
            gradients.put(self.inputs[0], found)


class LocalResponse(Operation):
    """Each value over a power of the squares in the channels around it: AlexNet's, GoogLeNet's.

    y = x / (k + alpha / n * sum of x^2 over n channels) ^ beta. The sum is a 1 x 1 convolution.
    Source: Krizhevsky, Sutskever, Hinton 2012, section 3.3; alpha is divided by n as in Caffe.
    """

    def __init__(
        self,
        inputs: Sequence[Slot],
        outputs: Sequence[Slot],
        size: int,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 1.0,
    ) -> None:
        super().__init__(inputs, outputs)
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k
        self._near: dict[tuple[Any, ...], Tensor] = {}

    def _summed(self, image: Tensor, *, back: bool = False) -> Tensor:
        """Sum over the channels around each, or over those around which it is."""
        key = (image.shape[1], image.dtype, image.device, back)
        if key not in self._near:
            at = torch.arange(image.shape[1], device=image.device)
            apart = at - at.view(-1, 1)  # from the channel of each row to that of each column
            near = (apart >= -(self.size // 2)) & (apart <= (self.size - 1) // 2)
            near = (near.T if back else near).to(image.dtype)
            self._near[key] = dense(near[:, :, None, None].contiguous())
        return dense(functional.conv2d(image, self._near[key]))

    def forward(self, values: dict[Slot, Any], kernels: Kernels) -> tuple[Tensor, Tensor]:
        """Divide, and keep what went in and what it was divided by, before the power."""
        del kernels
        image = dense(values[self.inputs[0]])
        base = self._summed(image * image).mul_(self.alpha / self.size).add_(self.k)
        values[self.outputs[0]] = base.pow(-self.beta).mul_(image)
        return image, base

    def backward(self, gradients: Gradients, kept: tuple[Tensor, Tensor], kernels: Kernels) -> None:
        """Each value counts for itself, and against those around which it is."""
        del kernels
        gradient = gradients.take(self.outputs[0])
        if gradient is None:
            return
        image, base = (each.to(gradient.dtype) for each in kept)
        own = dense(gradient) * base.pow(-self.beta)
        others = self._summed((own * image).div_(base), back=True).mul_(image)
        gradients.put(
            self.inputs[0], own.sub_(others, alpha=2 * self.alpha * self.beta / self.size)
        )


class Concat(Operation):
    """Values one after the other along the channels.

    Attributes:
        keeps_mask: all parts end in a ReLU, and one mask serves them all.
    """

    keeps_mask = False

    def forward(self, values: dict[Slot, Any], kernels: Kernels) -> tuple[list[int], Mask | None]:
        """Lay the parts side by side."""
        parts = [dense(values[slot]) for slot in self.inputs]
        result, mask = kernels.concat(parts, want_mask=self.keeps_mask)
        values[self.outputs[0]] = result
        return [part.shape[1] for part in parts], mask

    def backward(
        self, gradients: Gradients, kept: tuple[list[int], Mask | None], kernels: Kernels
    ) -> None:
        """Cut the gradient up."""
        gradient = gradients.take(self.outputs[0])
        if gradient is not None:
            sizes, mask = kept
            parts = kernels.split(dense(gradient), mask, sizes)
            for slot, part in zip(self.inputs, parts, strict=True):
                gradients.put(slot, part)


class Segment(Operation):
    """Calls in a row that are not known here; autograd remembers what they need.

    One that a device cannot do in bf16 is computed in float32, from when that is found out.
    """

    def __init__(self, calls: Sequence[Call], wanted: Collection[Slot], dtype: torch.dtype) -> None:
        """Take over some calls.

        Args:
            calls: in the order in which they run.
            wanted: the values that are read afterwards.
            dtype: of what others read.
        """
        made = [slot for call in calls for slot in call.outputs]
        read = dict.fromkeys(slot for call in calls for slot in call.inputs)
        super().__init__(
            [slot for slot in read if slot not in set(made)],
            [slot for slot in made if slot in wanted],
        )
        self._calls = tuple(calls)
        self._dtype = dtype
        self.wide: set[Call] = set()

    def forward(self, values: dict[Slot, Any], kernels: Kernels) -> tuple[list[Any], list[Any]]:
        """Run, with autograd watching."""
        del kernels
        given = [_watched(values[slot]) for slot in self.inputs]
        results = self._results(given)
        for slot, result in zip(self.outputs, results, strict=True):
            value = result.detach()
            values[slot] = value.to(self._dtype) if value.is_floating_point() else value
        return given, results

    def _results(self, given: Sequence[Tensor]) -> list[Tensor]:
        found = dict(zip(self.inputs, given, strict=True))
        with torch.enable_grad():
            for call in self._calls:
                found.update(zip(call.outputs, call.run(found, self.wide), strict=True))
        return [found[slot] for slot in self.outputs]

    def backward(
        self, gradients: Gradients, kept: tuple[list[Any], list[Any]], kernels: Kernels
    ) -> None:
        """Let autograd go back."""
        del kernels
        given, results = kept
        brought = [gradients.take(slot) for slot in self.outputs]
        if not any(value.requires_grad for value in given):
            return
        try:
            found = _gradients(results, brought, given)
        except (NotImplementedError, RuntimeError) as error:
            if not lacks_bf16(error):
                raise
            self.wide.update(self._calls)
            found = _gradients(self._results(given), brought, given)
        for slot, gradient in zip(self.inputs, found, strict=True):
            if gradient is not None:
                # Autograd may give one tensor to several leaves, or give what it was given.
                gradients.put(slot, gradient.clone())


def _gradients(
    results: Sequence[Tensor], brought: Sequence[Tensor | None], given: Sequence[Tensor]
) -> list[Tensor | None]:
    """Return the gradients of what was given, None where there is none."""
    pairs = [
        (result, gradient.to(result.dtype))
        for result, gradient in zip(results, brought, strict=True)
        if gradient is not None and result.requires_grad
    ]
    leaves = [value for value in given if value.requires_grad]
    if not pairs or not leaves:
        return [None] * len(given)
    if any(end.is_complex() for end, _ in pairs):
        ends, arrived = zip(*pairs, strict=True)
        found = iter(torch.autograd.grad(ends, leaves, arrived, allow_unused=True))
    else:  # the same to the bit, and PyTorch does not import SymPy for it, which takes 1.5 s
        with torch.enable_grad():
            total = torch.stack([(end * arrived).sum().float() for end, arrived in pairs]).sum()
        found = iter(torch.autograd.grad(total, leaves, allow_unused=True))
    return [next(found) if value.requires_grad else None for value in given]


def _watched(value: Tensor) -> Tensor:
    return value.detach().requires_grad_() if value.is_floating_point() else value


def pair(value: Any) -> tuple[int, int]:
    """Give a size that PyTorch takes as one or two numbers as (vertical, horizontal)."""
    if isinstance(value, int):
        return value, value
    first, *rest = value
    return int(first), int(rest[0] if rest else first)
