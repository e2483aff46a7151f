"""Blocks and code as people write them: how values go, and what cannot simply be traced."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from tests.matrix.trunk import WIDTH, WORDS, Do, Offers, Trunk, conv, seeded
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

OFFERS = Offers()
simple = OFFERS.simple

# -- how values go --------------------------------------------------------------------------------


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.reduce, self.expand = conv(), nn.Conv2d(12, 4, 1), nn.Conv2d(4, 12, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        scale = x.mean((2, 3), keepdim=True)
        scale = self.expand(functional.silu(self.reduce(scale)))
        return x * torch.sigmoid(scale)


class Shuffles(nn.Module):
    """ShuffleNet's block: half goes around, then channels are shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(6, 6), conv(6, 6, groups=6)

    def forward(self, x: Tensor) -> Tensor:
        near, far = x.chunk(2, dim=1)
        x = torch.cat((near, self.two(functional.relu(self.one(far)))), dim=1)
        count, channels, height, width = x.shape
        x = x.view(count, 2, channels // 2, height, width).transpose(1, 2).contiguous()
        return x.view(count, -1, height, width)


class Splits(nn.Module):
    """Uneven splits, slices, stacks and joins."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = conv(5, 5), conv(4, 4), conv(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        first, second, third = torch.split(x, [5, 4, 3], dim=1)
        third = torch.stack([self.three(third), third]).sum(0)
        joined = torch.cat([self.one(first), self.two(second), third], -3)
        return torch.where(joined > 0, joined, 0.2 * joined) - x[:, :1] * x[:, -1:]


class Twice(nn.Module):
    """Weight sharing: one module runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.same, self.bend = conv(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.bend(self.same(x))
        found: Tensor = self.bend(self.same(x) + x)
        return found


class Attends(nn.Module):
    """nn.MultiheadAttention over positions, on a coarse map."""

    def __init__(self) -> None:
        super().__init__()
        self.shrink, self.norm = nn.AvgPool2d(4), nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shrink(x)
        tokens = x.flatten(2).transpose(1, 2)
        seen, _ = self.attention(*[self.norm(tokens)] * 3, need_weights=False)
        return tokens.add(seen).transpose(1, 2).reshape(x.shape)


class AttendsByFunction(nn.Module):
    """scaled_dot_product_attention with q, k and v of a 1 x 1 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Conv2d(WIDTH, 3 * WIDTH, 1), nn.Conv2d(WIDTH, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.avg_pool2d(x, 4)
        count, channels, height, width = x.shape
        query, key, value = self.qkv(x).reshape(count, 3, 3, channels // 3, -1).mT.unbind(1)
        seen = functional.scaled_dot_product_attention(query, key, value)
        found: Tensor = x + self.out(seen.mT.reshape(count, channels, height, width))
        return found


class Fourier(nn.Module):
    """FFC or GFNet: a filter of complex numbers in the frequency domain."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2 * WIDTH, 2 * WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        waves = torch.fft.rfft2(x.float() if x.dtype == torch.bfloat16 else x, norm="ortho")
        parts = torch.cat([waves.real, waves.imag], dim=1)
        real, imaginary = self.mix(parts.to(x.dtype)).to(parts.dtype).chunk(2, dim=1)
        back: Tensor = torch.fft.irfft2(torch.complex(real, imaginary), s=x.shape[2:], norm="ortho")
        return back.to(x.dtype)


class Functional(nn.Module):
    """Functions on parameters, in place where it can be."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.zeros(WIDTH, WIDTH, 3, 3))
        self.two = nn.Parameter(torch.zeros(WIDTH, WIDTH, 3, 3))
        self.bias = nn.Parameter(torch.zeros(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.conv2d(x, self.one, self.bias, padding=1)
        y = functional.relu(y, inplace=True)
        y = torch.conv2d(y, self.two, None, 1, 1)
        y += x
        torch.relu_(y)
        y = functional.max_pool2d(y, kernel_size=3, stride=2, padding=1)
        return functional.dropout(y, 0.5, self.training)


class AliasedInPlace(nn.Module):
    """What is changed in place is read again under its old name."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(), conv()

    def forward(self, x: Tensor) -> Tensor:
        before = self.one(x)
        after = functional.relu_(before)
        again: Tensor = self.two(after) + before
        view = again[:, :6]
        view.mul_(2)
        again[:, 6:] -= 0.3
        return again


simple("squeeze_excite", SqueezeExcite, nn.ReLU)
simple("channel_shuffle", Shuffles, nn.ReLU, lambda: nn.ChannelShuffle(3))
simple("splits", Splits)
simple("weights_shared", Twice)
simple("attention", Attends)
simple("attention_function", AttendsByFunction)
simple("fourier", Fourier)
simple("functional", Functional)
simple("aliased_in_place", AliasedInPlace)
simple("upsampled", lambda: conv(stride=2), lambda: nn.Upsample(scale_factor=2, mode="nearest"),
       conv, lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))  # fmt: skip
simple("pixel_shuffled", lambda: conv(outs=48), lambda: nn.PixelShuffle(2), conv)
simple("pixel_unshuffled", lambda: nn.Conv2d(12, 3, 1), lambda: nn.CircularPad2d((0, 1, 1, 0)),
       lambda: Do(lambda x: x[:, :, : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2]),
       lambda: nn.PixelUnshuffle(2), conv)  # fmt: skip
simple("subsampled", conv, lambda: Do(lambda x: x[:, :, 1::2, ::2]), conv)
simple("rolled", conv, lambda: Do(lambda x: torch.roll(x, (3, -2), (2, 3)) + x.flip(1)))
simple("energy", conv, lambda: Do(lambda x: (functional.avg_pool2d(x**2, 2) + 1e-3).sqrt()))
simple("einsum", conv, lambda: Do(lambda x: torch.einsum("nchw,nchw->nhw", x, x)[:, None] * x / 9))

# -- code that cannot simply be traced ------------------------------------------------------------


class _Swish(torch.autograd.Function):
    """lukemelas/EfficientNet-PyTorch's, which keeps its input only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        gate = torch.sigmoid(x)
        return gradient.mul(gate * (1 + x * (1 - gate)))


def _mish(x: Tensor) -> Tensor:
    return x * torch.tanh(functional.softplus(x))


@cache
def _scripted_mish() -> Any:
    """torch.jit.script's; not made when this file is read, because it warns."""
    return torch.jit.script(_mish)


class Decides(nn.Module):
    """Goes one way or another, by what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(), conv(stride=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x) if x.mean() > 0 else self.two(x)
        for _ in range(int(x.shape[2] > 10) + 1):
            x = functional.relu(x) * 1.1
        return x


class Checkpointed(nn.Module):
    """Trades time for memory, as detectors do."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(conv(), nn.SiLU(), conv())

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = checkpoint(self.one, x, use_reentrant=False)
        return found


class PartlyFrozen(nn.Module):
    """A gate that takes no gradient, by no_grad and by detach."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.gate = conv(), conv()

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            gate = torch.sigmoid(self.gate(x))
        found: Tensor = self.one(x) * gate + 0.5 * x.detach()
        return found


class Pair(nn.Module):
    """Gives two things, of which the next takes one."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(), conv(stride=2)

    def forward(self, x: Tensor, scale: float = 1.0) -> tuple[Tensor, Tensor]:
        return self.one(x) * scale, self.two(x)


class Pairs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pair, self.bend = Pair(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        wide, narrow = self.pair(x, scale=0.5)
        narrow = functional.interpolate(narrow, size=wide.shape[2:], mode="nearest")
        found: Tensor = self.bend(wide + narrow)
        return found


class Listed(nn.Module):
    """ModuleList and ModuleDict, called by keyword, with buffers in between."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList([conv() for _ in range(3)])
        self.named = nn.ModuleDict({"bend": nn.SiLU(), "out": conv()})
        self.register_buffer("shift", torch.zeros(1, WIDTH, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        for number, part in enumerate(self.parts):
            x = part(input=x) / (number + 1) + self.shift + x
        found: Tensor = self.named["out"](self.named["bend"](x))
        return found


simple("swish_by_hand", conv, lambda: Do(_Swish.apply), conv)
simple("data_decides", Decides)
simple("checkpointed", Checkpointed)
simple("partly_frozen", PartlyFrozen)
simple("pairs", Pairs)
simple("listed", Listed)


class ScriptedMish(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = _scripted_mish()(x)
        return found


simple("scripted_function", conv, ScriptedMish, conv)


@OFFERS.network()
def scripted_module() -> nn.Module:
    return Trunk(nn.Sequential(conv(), torch.jit.script(nn.Sequential(conv(), nn.ReLU()))))


class ChangesItsInput(Trunk):
    """Normalises the picture in place, as some training scripts do."""

    def forward(self, x: Tensor) -> Any:
        x.mul_(0.9)
        x[:, 0] += 0.05
        return super().forward(x)


class GivesDict(Trunk):
    """As torchvision's segmentation networks and many detectors."""

    def forward(self, x: Tensor) -> Any:
        found = self.features(x)
        return {"features": found, "classes": self.head(self.pool(found).flatten(1))}


class GivesTuple(Trunk):
    """As training code does: classes, and features for an extra loss."""

    def forward(self, x: Tensor, *, with_features: bool = True) -> Any:
        found = self.features(x)
        classes = self.head(self.pool(found).flatten(1))
        return (classes, found) if with_features else classes


class Resizes(Trunk):
    """Brings every picture to its own size first."""

    def forward(self, x: Tensor) -> Any:
        x = functional.interpolate(x, size=(96, 112), mode="bilinear", align_corners=False)
        return super().forward(x)


class Flattens(Trunk):
    """A linear head on all positions, which fits one size only."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(conv(stride=4), nn.ReLU()))
        self.head = nn.Linear(WIDTH * 12 * 12, len(WORDS))

    def forward(self, x: Tensor) -> Any:
        return self.head(torch.flatten(self.features(x), start_dim=1))


@OFFERS.network()
def changes_its_input() -> nn.Module:
    return ChangesItsInput(conv())


@OFFERS.network()
def gives_a_dict() -> nn.Module:
    return GivesDict(conv())


@OFFERS.network()
def gives_a_tuple() -> nn.Module:
    return GivesTuple(conv())


@OFFERS.network()
def resizes_its_input() -> nn.Module:
    return Resizes(nn.Sequential(conv(), nn.ReLU()))


@OFFERS.network(window=96)
def flattens() -> nn.Module:
    return Flattens()


@OFFERS.network()
def hooked() -> nn.Module:
    """The author's hooks change what goes in and what comes out."""
    one, two = conv(), conv()
    one.register_forward_pre_hook(lambda _, given: (given[0] * 0.7,))
    two.register_forward_hook(lambda _, given, out: out.sigmoid() + given[0])
    return Trunk(nn.Sequential(one, nn.ReLU(), two))


@OFFERS.network()
def weight_norm() -> nn.Module:
    return Trunk(nn.Sequential(parametrizations.weight_norm(conv()), nn.ReLU()))


@OFFERS.network()
def spectral_norm() -> nn.Module:
    return Trunk(nn.Sequential(parametrizations.spectral_norm(conv()), nn.ReLU()))


@OFFERS.network()
def half_weights() -> nn.Module:
    return Trunk(nn.Sequential(conv(), nn.BatchNorm2d(WIDTH), nn.ReLU())).half()


@OFFERS.network()
def bfloat16_weights() -> nn.Module:
    return Trunk(nn.Sequential(conv(), nn.BatchNorm2d(WIDTH), nn.ReLU())).bfloat16()


@OFFERS.network()
def channels_last_weights() -> nn.Module:
    return Trunk(nn.Sequential(conv(), nn.ReLU())).to(memory_format=torch.channels_last)


# -- what cannot be dreamed with ------------------------------------------------------------------

REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {}
"""Networks, and what the sentence says that they are refused with."""


class TakesNoGradient(Trunk):
    """Deployment code: all of forward is in no_grad."""

    @torch.no_grad()
    def forward(self, x: Tensor) -> Any:
        return super().forward(x)


class Infers(Trunk):
    """The same, with what forbids gradients for ever."""

    @torch.inference_mode()
    def forward(self, x: Tensor) -> Any:
        return super().forward(x)


class TakesGrey(Trunk):
    """Sees one channel, as networks for X-rays or digits."""

    def __init__(self, block: nn.Module, channels: int) -> None:
        super().__init__(block)
        self.stem = nn.Conv2d(channels, WIDTH, 3, padding=1)


REFUSED["takes_no_gradient"] = (lambda: seeded(TakesNoGradient(conv())), "no gradient")
REFUSED["infers"] = (lambda: seeded(Infers(conv())), "no gradient")
REFUSED["takes_one_channel"] = (lambda: seeded(TakesGrey(conv(), 1)), "cannot take a picture")
REFUSED["takes_four_channels"] = (lambda: seeded(TakesGrey(conv(), 4)), "cannot take a picture")
