"""Simplifies a recorded program: fewer calls, the same numbers.

BatchNorm goes into the convolution before it, zero padding into the convolution or pool after it,
and what is not folded is written in the one way that the engine knows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import fuse_conv_bn_weights

from reverie.networks.pooling import avg_pool2d
from reverie.networks.program import Call, Program, Value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reverie.networks.program import Slot

aten = torch.ops.aten

_NORMS = {
    aten.native_batch_norm.default: 5,
    aten.cudnn_batch_norm.default: 5,
    aten._native_batch_norm_legit_no_training.default: None,  # noqa: SLF001
}
"""BatchNorm's names, and which argument says that it takes this picture's own statistics."""


def scaled(image: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Multiply each channel of (N, C, ...) by a number, and add another: BatchNorm in use."""
    shape = (1, -1, *[1] * (image.ndim - 2))
    return torch.addcmul(shift.view(shape), image, scale.view(shape))


def instance_norm(
    image: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return `torch.nn.functional.instance_norm`, with a right gradient in every order of memory.

    PyTorch's own is wrong on CPUs where the gradient comes in channels_last order (2.14).
    """
    del momentum
    if use_input_stats:
        places = tuple(range(2, image.ndim))
        spread, centre = torch.var_mean(image, dim=places, correction=0, keepdim=True)
    else:
        shape = (1, -1, *[1] * (image.ndim - 2))
        spread, centre = (
            each.view(shape) for each in (running_var, running_mean) if each is not None
        )
    image = (image - centre) * torch.rsqrt(spread + eps)
    if weight is None and bias is None:
        return image
    channels = image.shape[1]
    scale = image.new_ones(channels) if weight is None else weight
    return scaled(image, scale, image.new_zeros(channels) if bias is None else bias)


_RIGHT: Mapping[Any, Any] = {
    aten.avg_pool2d.default: avg_pool2d,
    functional.instance_norm: instance_norm,
}
"""What PyTorch computes wrongly somewhere, and what is right everywhere."""


Folded = dict[tuple[int, ...], tuple[Any, ...]]
"""What was made of a network's weights before, and those weights, by their identities."""


def fold(program: Program, folded: Folded) -> Program:
    """Fold what can be folded without changing a layer.

    Args:
        program: as recorded, its constants in float32.
        folded: weights that have been folded before, so that programs of one network share them.
    """
    calls = [_known(call, folded) for call in program.calls]
    program = Program(tuple(calls), program.layers)
    return _fold_padding(_fold_norms(program, folded))


def is_convolution(call: Call) -> bool:
    """Tell a convolution, of any number of dimensions, transposed or not, by constant weights."""
    return (
        call.function is aten.convolution.default
        and isinstance(call.args[0], Value)
        and all(isinstance(each, Tensor) or each is None for each in call.args[1:3])
    )


def _known(call: Call, folded: Folded) -> Call:
    """Write a call in the way that the rest of the engine knows."""
    if call.function in _RIGHT:
        return replace(call, function=_RIGHT[call.function])
    if _is_fixed_norm(call):
        key = tuple(map(id, call.args[1:5]))
        if key not in folded:
            folded[key] = (*_scale_and_shift(call), *call.args[1:5])
        args = (call.args[0], *folded[key][:2])
        return Call(scaled, args, {}, call.outputs[:1], call.shapes[:1])
    return call


def _is_fixed_norm(call: Call) -> bool:
    """Tell BatchNorm by constant statistics."""
    if call.function not in _NORMS:
        return False
    trains = _NORMS[call.function]
    has_statistics = call.args[3] is not None and call.args[4] is not None
    is_constant = not any(isinstance(each, Value) for each in call.args[1:5])
    return has_statistics and is_constant and not (trains is not None and call.args[trains])


def _scale_and_shift(call: Call) -> tuple[Tensor, Tensor]:
    """Return BatchNorm as a factor and a summand for each channel."""
    _, weight, bias, mean, variance, *rest = call.args
    scale = torch.rsqrt(variance.double() + rest[-1])
    scale = scale if weight is None else scale * weight.double()
    shift = -mean.double() * scale
    shift = shift if bias is None else shift + bias.double()
    return _lasting(scale.to(mean.dtype)), _lasting(shift.to(mean.dtype))


def _lasting(tensor: Tensor) -> nn.Parameter:
    """Mark a constant as the network's own, which all its programs share."""
    return nn.Parameter(tensor.detach(), requires_grad=False)


def _fold_norms(program: Program, folded: Folded) -> Program:
    makers = {slot: call for call in program.calls for slot in call.outputs}
    alone = _read_once(program)
    done: dict[Slot, Call] = {}
    calls: list[Call] = []
    for call in program.calls:
        before = makers.get(call.args[0].slot) if call.function is scaled else None
        if before is not None and is_convolution(before) and before.outputs[0] in alone:
            merged = replace(_scaled(before, call, folded), outputs=call.outputs)
            calls[calls.index(before)] = merged
            makers[call.outputs[0]] = merged
            done[before.outputs[0]] = merged
        else:
            calls.append(call)
    return Program(tuple(calls), program.layers)


def _scaled(convolution: Call, norm: Call, folded: Folded) -> Call:
    """Return a convolution whose weights do what a norm after it does."""
    image, weight, bias, *rest = convolution.args
    _, scale, shift = norm.args
    key = tuple(id(each) for each in (weight, bias, scale, shift))
    if key not in folded:
        zeros, ones = torch.zeros_like(scale), torch.ones_like(scale)
        new = fuse_conv_bn_weights(
            weight, bias, zeros, ones, 0.0, scale, shift, transpose=bool(rest[3])
        )
        folded[key] = (*map(_lasting, new), weight, bias, scale, shift)
    return replace(convolution, args=(image, *folded[key][:2], *rest))


def _fold_padding(program: Program) -> Program:
    """Let a convolution pad by itself where zeros lie evenly around what it alone reads."""
    makers = {slot: call for call in program.calls for slot in call.outputs}
    alone = _read_once(program)
    calls = []
    for call in program.calls:
        before = makers.get(call.args[0].slot) if is_convolution(call) else None
        even = _even_zeros(before) if before is not None and not call.args[6] else None
        if before is None or even is None or before.outputs[0] not in alone:
            calls.append(call)
            continue
        calls.remove(before)
        _, weight, bias, stride, padding, *rest = call.args
        wider = [old + new for old, new in zip(padding, even, strict=True)]
        args = (before.args[0], weight, bias, stride, wider, *rest)
        calls.append(replace(call, args=args))
    return Program(tuple(calls), program.layers)


def _even_zeros(call: Call) -> list[int] | None:
    """Return how many zeros a call lays around rows and columns, the same at both ends; or None."""
    if call.function is not aten.constant_pad_nd.default or len(call.args[1]) != 4:  # noqa: PLR2004
        return None
    left, right, top, bottom = call.args[1]
    is_zero = not call.args[2:] or call.args[2] == 0
    return [top, left] if is_zero and left == right >= 0 and top == bottom >= 0 else None


def _read_once(program: Program) -> set[Slot]:
    """Return the values that one call alone reads, and that are no layer."""
    users: Mapping[Slot, list[Any]] = program.users()
    return {slot for slot, by in users.items() if len(by) == 1} - set(program.layers.values())
