"""A network is made without the caller's defaults and random numbers, in this thread alone."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils import _device, _python_dispatch

from reverie.ambient import OwnDefaults, OwnRandomness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor


@pytest.fixture(params=[torch.float16, torch.bfloat16, torch.float32, torch.float64])
def dtype(request: pytest.FixtureRequest) -> Iterator[torch.dtype]:
    """The caller's default, whose default device is another one, too."""
    torch.set_default_dtype(request.param)
    with torch.device("meta"):
        yield request.param
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.empty(3),
        lambda: torch.zeros(3),
        lambda: torch.ones(2, 2, dtype=None, device=None),
        lambda: torch.full((3,), 0.1),
        lambda: torch.linspace(0, 1, 7),
        lambda: torch.arange(0, 1, 0.1),
        lambda: torch.eye(3),
        lambda: torch.tensor([0.1, 0.2]),
        lambda: torch.tensor(0.1),
        lambda: torch.as_tensor([[0.1]]),
        lambda: torch.hann_window(5),
        lambda: torch.rand(3),
        lambda: nn.Conv2d(3, 4, 3).weight,
        lambda: nn.BatchNorm2d(4).running_var,
    ],
)
@pytest.mark.usefixtures("dtype")
def test_floating_tensors_are_float32_on_the_cpu(make: Callable[[], Tensor]) -> None:
    with OwnDefaults("cpu"), OwnRandomness():
        made, again = make(), make()
    assert made.dtype is torch.float32
    assert made.device == torch.device("cpu")
    with OwnDefaults("meta"):
        assert make().device == torch.device("meta")
    del again


@pytest.mark.usefixtures("dtype")
def test_a_number_is_not_rounded_to_the_callers_type_first() -> None:
    with OwnDefaults("cpu"):
        assert float(torch.tensor(0.1)) == pytest.approx(0.1, rel=1e-7)
        assert float(torch.full((1,), 0.1)) == pytest.approx(0.1, rel=1e-7)


@pytest.mark.usefixtures("dtype")
def test_what_has_a_type_of_its_own_keeps_it() -> None:
    with OwnDefaults("cpu"):
        assert torch.tensor([1, 2]).dtype is torch.int64
        assert torch.full((2,), fill_value=True).dtype is torch.bool
        assert torch.arange(3).dtype is torch.int64
        assert torch.zeros(3, dtype=torch.float16).dtype is torch.float16
        assert torch.as_tensor(np.ones(2, np.float64)).dtype is torch.float64
        assert torch.as_tensor(np.ones(2, np.float16)).dtype is torch.float16


DRAWS: list[Callable[[], Tensor]] = [
    lambda: torch.rand(3),
    lambda: torch.randn(2, 2),
    lambda: torch.randint(9, (5,)),
    lambda: torch.randint(2, 9, (5,)),
    lambda: torch.randperm(9),
    lambda: torch.rand_like(torch.zeros(4)),
    lambda: torch.randn_like(torch.zeros(4)),
    lambda: torch.randint_like(torch.zeros(4), 9),
    lambda: torch.normal(0.0, 1.0, (3,)),
    lambda: torch.normal(torch.zeros(3), torch.ones(3)),
    lambda: torch.bernoulli(torch.full((20,), 0.5)),
    lambda: torch.multinomial(torch.ones(9), 5),
    lambda: torch.poisson(torch.full((9,), 4.0)),
    lambda: torch.zeros(3).uniform_(),
    lambda: torch.zeros(3).exponential_(),
    lambda: functional.dropout(torch.ones(50)),
    lambda: functional.dropout2d(torch.ones(1, 50, 2, 2)),
    lambda: functional.gumbel_softmax(torch.zeros(5), dim=0),
    lambda: nn.Linear(3, 4).weight,
    lambda: nn.init.trunc_normal_(torch.zeros(9)),
    lambda: nn.init.orthogonal_(torch.zeros(4, 4)),
    lambda: nn.MultiheadAttention(4, 2).in_proj_weight,
]


@pytest.mark.parametrize("draw", DRAWS)
def test_nothing_is_drawn_from_the_callers_generator(draw: Callable[[], Tensor]) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with OwnRandomness():
        first = (draw(), draw())
    torch.rand(1)
    with OwnRandomness():
        second = (draw(), draw())
    torch.manual_seed(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True)), "not the same twice"
    assert not torch.equal(*first), "it begins anew with each draw"


def test_a_generator_of_the_networks_own_is_used() -> None:
    def draw() -> Tensor:
        return torch.zeros(3).normal_(generator=torch.Generator().manual_seed(7))

    expected = draw()
    with OwnRandomness():
        assert torch.equal(draw(), expected)


def test_a_network_that_seeds_gets_the_numbers_of_its_seed() -> None:
    def network() -> Tensor:
        torch.manual_seed(7)
        return torch.cat([torch.rand(2), torch.rand(2)])

    expected = network()
    torch.manual_seed(5)
    torch.rand(11)
    before = torch.get_rng_state()
    with OwnRandomness():
        torch.rand(3)
        assert torch.equal(network(), expected)
    assert torch.equal(torch.get_rng_state(), before)


def test_other_threads_draw_as_if_nothing_happened() -> None:
    """Rewinding the generator afterwards would make them draw the same numbers twice."""
    torch.manual_seed(11)
    expected = torch.cat([torch.rand(1) for _ in range(500)])
    torch.manual_seed(11)
    drawn: list[Tensor] = []
    is_inside = threading.Event()

    def draw() -> None:
        is_inside.wait()
        drawn.extend(torch.rand(1) for _ in range(500))

    other = threading.Thread(target=draw)
    other.start()
    with OwnRandomness():
        is_inside.set()
        while other.is_alive():
            nn.Linear(20, 20)
    other.join()
    assert torch.equal(torch.cat(drawn), expected)


def test_other_threads_see_neither_mode() -> None:
    def state() -> tuple[object, ...]:
        return (
            _device.CURRENT_DEVICE,
            getattr(_python_dispatch, "_is_in_torch_dispatch_mode", None),
            getattr(_python_dispatch, "_is_in_any_mode_without_ignore_compile_internals", None),
            torch.get_default_device(),
        )

    before, found = state(), []

    def look() -> None:
        found.append((state(), torch.zeros(1).device))

    with OwnDefaults("meta"), OwnRandomness():
        torch.rand(2)
        other = threading.Thread(target=look)
        other.start()
        other.join()
    assert found == [(before, torch.device("cpu"))]


def test_the_compiler_is_not_loaded_for_it() -> None:
    import subprocess
    import sys

    code = (
        "import sys, torch\n"
        "from reverie.ambient import OwnDefaults, OwnRandomness\n"
        "with OwnDefaults('cpu'), OwnRandomness():\n"
        "    torch.nn.Linear(2, 2)(torch.rand(1, 2))\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
