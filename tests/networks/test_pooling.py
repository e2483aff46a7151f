"""Average pools whose padding is right on every device."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from reverie import Network
from reverie.ambient import ThreadDispatchMode
from reverie.device import own_grad_mode
from reverie.engine.frozen import freeze
from reverie.engine.gradient import image_gradient
from reverie.engine.kernels.plain import PlainKernels
from reverie.engine.kernels.protocol import Window
from reverie.networks.loading import LoadedNetwork, load_network
from reverie.networks.pooling import RightPools, avg_pool2d, avg_pool2d_backward
from reverie.objectives import layer

if TYPE_CHECKING:
    from reverie.networks.prepared import PreparedNetwork

CPU = torch.device("cpu")


class PaddedPoolError(AssertionError):
    """Raised where a padded average pool goes back through PyTorch's own kernel."""


class Watch(ThreadDispatchMode):
    """Refuses what is wrong on NVIDIA's GPUs, so that none is needed to find it."""

    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func is torch.ops.aten.avg_pool2d_backward.default:
            padding = args[4]
            if any(padding if isinstance(padding, (tuple, list)) else [padding]):
                raise PaddedPoolError(f"{padding}")
        return func(*args, **kwargs)


POOLS = [*product((4, 3, 2), (1, 2, 3), (0, 1), (False, True), (False, True), (None, 5))]


@pytest.mark.parametrize("size", [(13, 16), (12, 9)])
def test_pools_and_their_gradients_are_pytorchs_on_a_cpu(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, *size, dtype=torch.float64, generator=generator).requires_grad_()
    for kernel, stride, padding, ceil, includes, divisor in POOLS:
        arguments = (
            (kernel, kernel),
            (stride, stride),
            (padding, padding),
            ceil,
            includes,
            divisor,
        )
        expected = functional.avg_pool2d(image, *arguments)
        found = avg_pool2d(image, *arguments)
        assert torch.allclose(found, expected), arguments
        given = torch.rand(expected.shape, dtype=torch.float64, generator=generator)
        (exact,) = torch.autograd.grad(expected, image, given)
        (one,) = torch.autograd.grad(found, image, given)
        other = avg_pool2d_backward(given, image.detach(), *arguments)
        assert torch.allclose(one, exact), arguments
        assert torch.allclose(other, exact), arguments


def inception() -> nn.Module:
    """A branch with a padded average pool, as Inception's blocks have, and a norm behind."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 2),
        nn.ReLU(),
        nn.AvgPool2d(3, 1, 1, count_include_pad=False),
        nn.Conv2d(6, 4, 1),
    )


def ready(module: nn.Module, path: str) -> PreparedNetwork:
    module = module.eval().requires_grad_(requires_grad=False)
    record = Network(name="mine", summary="", load=lambda _: module)
    return LoadedNetwork(record, module).prepare([path], CPU, torch.float32)


@pytest.mark.parametrize("name", ["embedded", "mine"])
def test_no_path_lets_a_padded_pool_reach_pytorchs_kernel(
    name: str, picture: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: with plain kernels, by autograd, and with and without a program."""
    path = "creatures" if name == "embedded" else "3"
    loaded = load_network("embedded") if name == "embedded" else None
    prepared = loaded.prepare([path], CPU, torch.float32) if loaded else ready(inception(), path)
    with own_grad_mode():
        expected = image_gradient(prepared, layer(path), picture)[1]
        with Watch():
            assert torch.equal(image_gradient(prepared, layer(path), picture)[1], expected)
        monkeypatch.setattr(type(prepared), "has_program", False)
        with pytest.raises(PaddedPoolError), Watch():
            image_gradient(prepared, layer(path), picture)
        with Watch(), RightPools():
            found = image_gradient(prepared, layer(path), picture)[1]
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-7)


def test_the_frozen_network_lets_no_padded_pool_reach_it_off_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`meta` stands for a GPU: the kernels choose by the kind of device."""
    seen = []
    monkeypatch.setattr(
        "reverie.engine.kernels.plain._ATEN_BACKWARD", lambda *_: seen.append("PyTorch's")
    )
    gradient = torch.zeros(1, 4, 6, 6, device="meta").to(memory_format=torch.channels_last)
    window = Window((4, 4), (2, 2), (1, 1))
    with Watch():
        found = PlainKernels().avg_pool_backward(
            gradient, window, (12, 12), count_include_pad=False
        )
    assert found.shape == (1, 4, 12, 12)
    assert not seen


def test_the_plain_kernel_spreads_rightly_by_padding_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = torch.Generator().manual_seed(0)
    gradient = torch.rand(1, 4, 6, 7, generator=generator).to(memory_format=torch.channels_last)
    window, kernels = Window((4, 4), (2, 2), (1, 1)), PlainKernels()
    expected = kernels.avg_pool_backward(gradient, window, (12, 14), count_include_pad=False)
    monkeypatch.setattr("reverie.engine.kernels.plain._ATEN_BACKWARD", avg_pool2d_backward)
    with Watch():
        found = kernels.avg_pool_backward(gradient, window, (12, 14), count_include_pad=False)
    assert torch.allclose(found, expected)


def test_the_embedded_networks_gradient_is_the_same_by_every_engine(picture: torch.Tensor) -> None:
    prepared = load_network("embedded").prepare(["creatures"], CPU, torch.float32)
    with own_grad_mode():
        frozen = freeze(prepared, torch.float32)
        assert frozen is not None
        one = frozen.gradient(layer("creatures"), picture)[1]
        other = image_gradient(prepared, layer("creatures"), picture)[1]
    assert functional.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.99999
