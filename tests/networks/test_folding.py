"""What is folded gives the same numbers, with fewer calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from torch.nn import functional

from reverie.networks.folding import fold, is_convolution, scaled
from reverie.networks.pooling import avg_pool2d
from reverie.networks.recording import record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reverie.networks.program import Program


def random_norm(channels: int, **options: bool) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, **options)
    generator = torch.Generator().manual_seed(channels)
    if norm.running_mean is not None and norm.running_var is not None:
        norm.running_mean.normal_(generator=generator)
        norm.running_var.uniform_(0.5, 2e6, generator=generator)
    return norm


def same_when_folded(module: nn.Module, paths: Sequence[str], rtol: float = 1e-4) -> Program:
    """Fold what leads to some layers; on a picture of another size it must give the same."""
    module = module.eval().requires_grad_(requires_grad=False)
    generator = torch.Generator().manual_seed(1)
    program = record(module, torch.rand(2, 3, 20, 24, generator=generator), paths).up_to(paths)
    folded = fold(program, {})
    image = torch.rand(1, 3, 33, 27, generator=generator)
    expected, found = program(image), folded(image)
    for path in paths:
        assert torch.allclose(found[path], expected[path], rtol=rtol, atol=1e-6), path
    return folded


def functions(program: Program) -> list[str]:
    return [getattr(call.function, "__name__", "reshape") for call in program.calls]


def test_a_norm_goes_into_the_convolution_before_it_only() -> None:
    network = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, bias=False), random_norm(8), nn.ReLU()),
        *(random_norm(8), nn.Conv2d(8, 4, 3), random_norm(4)),
    )
    found = functions(same_when_folded(network, ["5"]))
    assert found == ["convolution.default", "relu.default", "scaled", "convolution.default"]


def test_a_convolution_whose_own_output_is_wanted_is_not_folded() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), random_norm(8), nn.Conv2d(8, 4, 1), random_norm(4))
    assert functions(same_when_folded(network, ["0", "3"])).count("scaled") == 1


@pytest.mark.parametrize("path", ["0", "0.0"])
def test_a_block_that_ends_in_its_convolution_keeps_its_output(path: str) -> None:
    network = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 1)), random_norm(4))
    assert functions(same_when_folded(network, [path, "1"])) == ["convolution.default", "scaled"]


class Subclass(nn.Conv2d):
    """Pads by a module of its own, as ports from TensorFlow do, and convolves without padding."""

    def __init__(self, pads: tuple[int, int, int, int]) -> None:
        super().__init__(3, 8, 3, 2, bias=False)
        self.static_padding = nn.ZeroPad2d(pads)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        padded = self.static_padding(image)
        return functional.conv2d(
            padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups
        )


@pytest.mark.parametrize(("pads", "calls"), [((1, 1, 1, 1), 1), ((0, 1, 0, 1), 2)])
def test_subclasses_of_convolutions_are_folded_like_all(
    pads: tuple[int, int, int, int], calls: int
) -> None:
    network = nn.Sequential(Subclass(pads), random_norm(8))
    program = same_when_folded(network, ["1"])
    assert is_convolution(program.calls[-1])
    assert len(program.calls) == calls, "even padding is the convolution's own"


class Functional(nn.Module):
    """Everything by functions, with weights of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 3, 3, 3))
        self.norm = random_norm(6)
        self.last = nn.Identity()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        image = functional.conv2d(image, self.weight, padding="same")
        mean, variance = self.norm.running_mean, self.norm.running_var
        image = functional.batch_norm(image, mean, variance, training=self.training)
        last: torch.Tensor = self.last(functional.relu_(image))
        return last


def test_functional_style_is_folded_like_all() -> None:
    found = functions(same_when_folded(Functional(), ["last"]))
    assert found == ["convolution.default", "relu.default"]


def test_transposed_convolutions_take_norms_too() -> None:
    network = nn.Sequential(nn.ConvTranspose2d(3, 5, 4, 2, bias=False), random_norm(5))
    assert functions(same_when_folded(network, ["1"])) == ["convolution.default"]


class Shared(nn.Module):
    """Uses one convolution with two norms, and one norm after two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.other = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.first, self.second = random_norm(3), random_norm(3)
        self.last = nn.Identity()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        once = self.first(self.conv(image))
        twice = self.second(self.conv(once))
        last: torch.Tensor = self.last(self.second(self.other(twice)))
        return last


def test_what_is_used_twice_is_folded_for_each_use() -> None:
    assert functions(same_when_folded(Shared(), ["last"])) == ["convolution.default"] * 3


def test_a_norm_of_each_pictures_own_statistics_stays() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), random_norm(4, track_running_stats=False))
    assert functions(same_when_folded(network, ["1"])) == [
        "convolution.default",
        "native_batch_norm.default",
    ]


@pytest.mark.parametrize("includes", [False, True])
def test_padded_average_pools_never_reach_pytorchs_own_padding(includes: bool) -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=includes)
    )
    assert same_when_folded(network, ["1"]).calls[-1].function is avg_pool2d


def test_a_norm_alone_is_a_factor_and_a_summand() -> None:
    norm = random_norm(3)
    program = same_when_folded(nn.Sequential(norm), ["0"])
    assert program.calls[0].function is scaled
