"""Layers as people have them: what stands in networks beside plain convolutions and ReLUs."""

from __future__ import annotations

import math
from typing import Any

import torch
from tests.matrix.trunk import WIDTH, Do, Offers, Trunk, conv
from torch import Tensor, nn
from torch.nn import functional

OFFERS = Offers()
simple = OFFERS.simple

# -- activations, alone and after a convolution ---------------------------------------------------

for _name, _make in {
    "relu6": nn.ReLU6,
    "hardtanh": lambda: nn.Hardtanh(-0.5, 1.5, inplace=True),
    "clamp": lambda: Do(lambda x: x.clamp(min=-0.2, max=1)),
    "clamp_below": lambda: Do(lambda x: torch.clamp(x, min=0.1)),
    "silu": lambda: nn.SiLU(inplace=True),
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "hardswish": nn.Hardswish,
    "hardsigmoid": nn.Hardsigmoid,
    "leaky_relu": lambda: nn.LeakyReLU(0.1, inplace=True),
    "prelu": lambda: nn.PReLU(WIDTH),
    "elu": nn.ELU,
    "selu": nn.SELU,
    "softplus": nn.Softplus,
    "mish": nn.Mish,
    "softmax": lambda: nn.Softmax(dim=1),
    "threshold": lambda: nn.Threshold(0.1, -0.3),
    "log_of_relu": lambda: Do(lambda x: torch.log1p(functional.relu(x)) ** 2 / 2 - x.abs().sqrt()),
}.items():
    simple(_name, conv, _make, conv, _make)

# -- convolutions ---------------------------------------------------------------------------------


class PadsByChild(nn.Conv2d):
    """As EfficientNet-Lite's: the padding is a module of its own, more below and right."""

    def __init__(
        self, *args: Any, pad: tuple[int, int, int, int] = (0, 1, 0, 1), **facts: Any
    ) -> None:
        super().__init__(*args, **facts)
        self.static_padding = nn.ZeroPad2d(pad)

    def forward(self, x: Tensor) -> Tensor:
        x = self.static_padding(x)
        return functional.conv2d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class PadsSame(nn.Conv2d):
    """TensorFlow's "same": how much depends on the size of the picture."""

    def forward(self, x: Tensor) -> Tensor:
        sides: list[int] = []
        for length, kernel, stride, dilation in zip(
            x.shape[2:], self.kernel_size, self.stride, self.dilation, strict=True
        ):
            whole = (math.ceil(length / stride) - 1) * stride + (kernel - 1) * dilation + 1
            missing = max(whole - length, 0)
            sides = [missing // 2, missing - missing // 2, *sides]
        if max(sides) > 0:
            x = functional.pad(x, sides)
        return functional.conv2d(
            x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups
        )


class PadsBySuper(nn.Conv2d):
    """Pads lopsidedly, and leaves the rest to its parent."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, (2, 0, 1, 1)))


class Standardized(nn.Conv2d):
    """Weight standardization (BiT, NFNet): its weights are not those that it convolves with."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        weight = weight / (weight.std(dim=(1, 2, 3), keepdim=True) + 1e-5)
        found: Tensor = self._conv_forward(x, 0.3 * weight, self.bias)
        return found


def mobile(kind: type[nn.Conv2d], **facts: Any) -> nn.Module:
    """A stem and an inverted residual of one kind of convolution, with BatchNorm after each."""
    module = Trunk(
        nn.Sequential(
            nn.Conv2d(WIDTH, 24, 1, bias=False),
            nn.BatchNorm2d(24),
            nn.ReLU6(inplace=True),
            kind(24, 24, 3, stride=2, groups=24, bias=False, **facts),
            nn.BatchNorm2d(24),
            nn.ReLU6(inplace=True),
            nn.Conv2d(24, WIDTH, 1, bias=False),
            nn.BatchNorm2d(WIDTH),
        )
    )
    module.stem = kind(3, WIDTH, 3, stride=2, **facts)
    return module


@OFFERS.network()
def conv_that_pads_by_a_child() -> nn.Module:
    return mobile(PadsByChild)


@OFFERS.network()
def conv_that_pads_same() -> nn.Module:
    return mobile(PadsSame)


@OFFERS.network()
def conv_that_pads_by_super() -> nn.Module:
    return mobile(PadsBySuper)


simple("weight_standardized", lambda: Standardized(WIDTH, WIDTH, 3, padding=1), nn.ReLU)
simple("grouped", lambda: conv(groups=3), nn.ReLU, lambda: conv(groups=4))
simple("dilated", lambda: conv(dilation=2, padding=2), nn.ReLU, lambda: conv(dilation=(1, 3)))
simple("depthwise", lambda: conv(groups=WIDTH), nn.ReLU, lambda: conv(outs=24, groups=12), width=24)
simple("transposed", lambda: conv(stride=2), nn.ReLU, lambda: nn.ConvTranspose2d(12, 12, 4, 2, 1))
simple("transposed_uneven", lambda: nn.ConvTranspose2d(12, 12, 3, 2, 1, 1, groups=2), nn.ReLU)
simple("padding_same", lambda: conv(padding="same", kernel_size=4), nn.ReLU)
simple("padding_reflect", lambda: conv(padding=2, padding_mode="reflect", kernel_size=5), nn.ReLU)
simple("padding_circular", lambda: conv(padding_mode="circular"), nn.ReLU)
simple("padding_replicate", lambda: nn.ReplicationPad2d((2, 0, 1, 3)), lambda: conv(padding=0))
simple("oblong", lambda: conv(kernel_size=(1, 7), padding=(0, 3)), lambda: conv(stride=(2, 1)))
simple("conv3d", lambda: nn.Unflatten(1, (2, 6)), lambda: nn.Conv3d(2, 2, 3, padding=1),
       lambda: nn.Flatten(1, 2), nn.ReLU)  # fmt: skip
simple("conv1d_over_channels", lambda: Do(lambda x: x.flatten(2)), lambda: nn.Conv1d(12, 12, 1),
       lambda: Do(lambda x: x.unsqueeze(-1)))  # fmt: skip

# -- norms ----------------------------------------------------------------------------------------

simple("group_norm", conv, lambda: nn.GroupNorm(3, WIDTH), nn.ReLU)
simple("instance_norm", conv, lambda: nn.InstanceNorm2d(WIDTH, affine=True), nn.ReLU)
simple("instance_norm_with_statistics", conv,
       lambda: nn.InstanceNorm2d(WIDTH, track_running_stats=True), nn.ReLU)  # fmt: skip
simple("lrn", conv, nn.ReLU, lambda: nn.LocalResponseNorm(5, alpha=0.5, beta=0.75, k=1.0))
simple("lrn_function", conv, lambda: Do(lambda x: functional.local_response_norm(x, 3, 0.5)))
simple("batch_norm_without_affine", conv, lambda: nn.BatchNorm2d(WIDTH, affine=False), nn.ReLU)
simple("batch_norm_without_statistics", conv,
       lambda: nn.BatchNorm2d(WIDTH, track_running_stats=False), nn.ReLU)  # fmt: skip
simple("batch_norm_first", lambda: nn.BatchNorm2d(WIDTH), nn.ReLU, conv, lambda: nn.BatchNorm2d(12))
simple("l2_normalized", conv, lambda: Do(lambda x: functional.normalize(x, dim=1)))


class LayerNorm2d(nn.LayerNorm):
    """ConvNeXt's."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        x = functional.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


simple("layer_norm", conv, lambda: LayerNorm2d(WIDTH), nn.GELU)


@OFFERS.network()
def batch_norm_left_training() -> nn.Module:
    return Trunk(nn.Sequential(conv(), nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.Dropout(0.5))).train()


class BatchNormFunction(nn.Module):
    """BatchNorm by hand, with its statistics in buffers."""

    mean: Tensor
    var: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv()
        self.scale = nn.Parameter(torch.ones(WIDTH))
        self.shift = nn.Parameter(torch.zeros(WIDTH))
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.register_buffer("var", torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return functional.batch_norm(
            self.conv(x), self.mean, self.var, self.scale, self.shift, training=self.training
        )


simple("batch_norm_function", BatchNormFunction, nn.ReLU)


class SharedNorm(nn.Module):
    """One BatchNorm after two convolutions, and one convolution read twice."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.norm, self.other = conv(), conv(), nn.BatchNorm2d(12), conv()
        self.own = nn.BatchNorm2d(12)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.other(x)
        own: Tensor = self.own(seen) * seen
        return own.add(self.norm(self.one(x))).add(self.norm(self.two(x)).relu())


simple("batch_norm_shared", SharedNorm)

# -- pools ----------------------------------------------------------------------------------------

simple("average_pool_with_padding", conv, lambda: nn.AvgPool2d(3, 2, 1), conv)
simple("average_pool_without_its_padding", conv,
       lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), conv)  # fmt: skip
simple("average_pool_ceil", conv,
       lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True), conv,
       lambda: nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False))  # fmt: skip
simple("average_pool_by_divisor", conv, lambda: nn.AvgPool2d(2, 2, divisor_override=3), conv)
simple("max_pool_ceil", conv, nn.ReLU, lambda: nn.MaxPool2d(3, 2, ceil_mode=True), conv)
simple("max_pool_dilated", conv, lambda: nn.MaxPool2d(3, 1, 1, dilation=2), conv)
simple("lp_pool", conv, nn.ReLU, lambda: nn.LPPool2d(2, 2), conv)
simple("adaptive_average", conv, lambda: nn.AdaptiveAvgPool2d((6, 8)), conv)
simple("adaptive_max", conv, lambda: nn.AdaptiveMaxPool2d(7), conv)


class Unpools(nn.Module):
    """SegNet: a pool that returns where its winners were, and what puts them back."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.inside, self.unpool = conv(), nn.MaxUnpool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        pooled, where = self.pool(x)
        back: Tensor = self.unpool(self.inside(pooled), where, output_size=x.shape[2:])
        return back


simple("unpooled", Unpools)


class BlurPool(nn.Module):
    """Antialiased downsampling (Zhang 2019): a fixed filter in a buffer, reflected edges."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", torch.ones(WIDTH, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pad(x, (1, 1, 1, 1), mode="reflect")
        return functional.conv2d(x, self.filter, stride=2, groups=x.shape[1])


simple("blur_pool", conv, nn.ReLU, BlurPool)
