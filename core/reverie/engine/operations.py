"""What a frozen network is made of: operations that go forward, and back with little kept.

The weights never change, so only the gradient of the picture is wanted: a convolution keeps nothing
of its input, a ReLU one bit, and maximum pooling the winner of each window. What is unknown here is
left to autograd, as a `Segment`.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from reverie.engine.kernels import Kernels, Mask, Window

Slot = int
"""The number of a value: an operation's output, or the network's input."""


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
        keeps_mask: a consumer sends gradients back to where the ReLU was closed.
    """

    is_relu = False
    keeps_mask = False

    def _gated(self, result: Tensor, kernels: Kernels) -> tuple[Tensor, Mask | None]:
        """Apply the ReLU, in place."""
        if not self.is_relu:
            return result, None
        result = dense(result)
        return kernels.relu_positive(result) if self.keeps_mask else (result.relu_(), None)

    def _taken(self, gradients: Gradients, mask: Mask | None, kernels: Kernels) -> Tensor | None:
        """Take the output's gradient as it is before the ReLU."""
        gradient = gradients.take(self.outputs[0])
        if gradient is None or mask is None:
            return gradient
        return kernels.masked(dense(gradient), mask)


class Convolution(Gate):
    """A convolution, and the ReLU after it in the same pass where oneDNN can.

    Back, a stride of 1 is a convolution with the weights turned round, which sums onto what other
    branches brought; 3 to 7 % faster than the general backward convolution.
    """

    def __init__(
        self, inputs: Sequence[Slot], outputs: Sequence[Slot], layer: nn.Conv2d, back: torch.dtype
    ) -> None:
        super().__init__(inputs, outputs)
        self.weight = layer.weight.detach()
        self.bias = None if layer.bias is None else layer.bias.detach()
        self.stride, self.padding = pair(layer.stride), pair(layer.padding)
        self.dilation, self.groups = pair(layer.dilation), layer.groups
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
        result = values[self.outputs[0]] = self.run(image, self.padding)
        return image.shape[2:], kernels.positive(result) if self.keeps_mask else None

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
            present = gradients.take(slot) if can_fuse(gradient) else None
            gradients.put(slot, self.run_back(gradient, self.back_padding, onto=present))
        else:
            gradients.put(slot, self._spread(gradient, size))

    def run(self, image: Tensor, padding: tuple[int, int]) -> Tensor:
        """Convolve and apply the ReLU, in one pass by what PyTorch keeps for its compiler."""
        image = dense(image)
        if self.is_relu and can_fuse(image):
            fused: Tensor = torch.ops.mkldnn._convolution_pointwise(  # noqa: SLF001
                image, self.weight, self.bias, padding, self.stride, self.dilation, self.groups,
                "relu", [], "",
            )  # fmt: skip
            return dense(fused)
        result = functional.conv2d(
            image, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )
        return dense(result.relu_() if self.is_relu else result)

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

    def forward(self, values: dict[Slot, Any], kernels: Kernels) -> Mask | None:
        """Cut off what is negative."""
        result = dense(values[self.inputs[0]].relu())
        values[self.outputs[0]] = result
        return kernels.positive(result) if self.keeps_mask else None

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
    """Operations in a row that are not known here; autograd remembers what they need."""

    def __init__(
        self,
        inputs: Mapping[fx.Node, Slot],
        outputs: Mapping[fx.Node, Slot],
        nodes: Sequence[fx.Node],
        module: nn.Module,
    ) -> None:
        super().__init__(tuple(inputs.values()), tuple(outputs.values()))
        self._arguments, self._results = tuple(inputs), tuple(outputs)
        self._nodes = tuple(nodes)
        self._module = module
        # Autograd refuses to let a leaf be changed; a copy may be.
        self._copies = any(changes_in_place(node) for node in nodes)

    def forward(self, values: dict[Slot, Any], kernels: Kernels) -> tuple[list[Any], list[Any]]:
        """Run, with autograd watching."""
        del kernels
        given = [_watched(values[slot]) for slot in self.inputs]
        with torch.enable_grad():
            found: dict[fx.Node, Any] = dict(
                zip(self._arguments, map(self._own, given), strict=True)
            )
            for node in self._nodes:
                found[node] = _run(node, self._module, found)
        results = [found[node] for node in self._results]
        for slot, result in zip(self.outputs, results, strict=True):
            if isinstance(result, (list, tuple)) and any(isinstance(r, Tensor) for r in result):
                raise Unfreezable(f"{self._results} gives several tensors")
            values[slot] = result.detach() if isinstance(result, Tensor) else result
        return given, results

    def _own(self, value: Any) -> Any:
        return value.clone() if self._copies and isinstance(value, Tensor) else value

    def backward(
        self, gradients: Gradients, kept: tuple[list[Any], list[Any]], kernels: Kernels
    ) -> None:
        """Let autograd go back."""
        del kernels
        given, results = kept
        ends, brought = [], []
        for slot, result in zip(self.outputs, results, strict=True):
            gradient = gradients.take(slot)
            if gradient is not None and isinstance(result, Tensor) and result.requires_grad:
                ends.append(result)
                brought.append(gradient.to(result.dtype))
        leaves = {
            slot: value
            for slot, value in zip(self.inputs, given, strict=True)
            if isinstance(value, Tensor) and value.requires_grad
        }
        if not ends or not leaves:
            return
        found = torch.autograd.grad(ends, list(leaves.values()), brought, allow_unused=True)
        for slot, gradient in zip(leaves, found, strict=True):
            if gradient is not None:
                # Autograd may give one tensor to several leaves, or give what it was given.
                gradients.put(slot, gradient.clone())


def _watched(value: Any) -> Any:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.detach().requires_grad_()
    return value


def _run(node: fx.Node, module: nn.Module, found: Mapping[fx.Node, Any]) -> Any:
    args = fx.node.map_arg(node.args, lambda n: found[n])
    kwargs = fx.node.map_arg(node.kwargs, lambda n: found[n])
    if node.op == "get_attr":
        return operator.attrgetter(str(node.target))(module)
    if node.op == "call_module":
        return module.get_submodule(str(node.target))(*args, **kwargs)
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    return node.target(*args, **kwargs)  # type: ignore[operator]


_IN_PLACE = {getattr(operator, f"i{n}") for n in ("add", "mul", "sub", "truediv", "pow")}


def changes_in_place(node: fx.Node) -> bool:
    """Tell whether a node writes into its first input."""
    if node.op == "call_method":
        name = str(node.target)
        return name.endswith("_") and not name.endswith("__")
    return node.kwargs.get("inplace") is True or node.target in _IN_PLACE


def pair(value: Any) -> tuple[int, int]:
    """Give a size that PyTorch takes as one or two numbers as (vertical, horizontal)."""
    if isinstance(value, int):
        return value, value
    first, *rest = value
    return int(first), int(rest[0] if rest else first)
