"""A program that shares its GPU with dreams finds everything as it left it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tests.gpu.gradients import PRECISIONS, RUNS, size_on, waves
from torch import backends, nn

from reverie import Recipe, dream
from reverie.networks.loading import release

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.gpu


def state(device: torch.device) -> dict[str, Any]:
    """Settings of the process that decide what a program's own computing gives."""
    found: dict[str, Any] = {
        "products": torch.get_float32_matmul_precision(),
        "convolutions": backends.cudnn.allow_tf32,
        "benchmark": backends.cudnn.benchmark,
        "deterministic": backends.cudnn.deterministic,
        "algorithms": torch.are_deterministic_algorithms_enabled(),
        "type": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
        "numbers": torch.get_rng_state().tolist(),
    }
    if device.type == "cuda":
        found |= {
            "device": torch.cuda.current_device(),
            "stream": torch.cuda.current_stream(),
            "numbers of the GPU": torch.cuda.get_rng_state(device).tolist(),
            "capturing": torch.cuda.is_current_stream_capturing(),
        }
    return found


@pytest.fixture
def _fast_host() -> Iterator[None]:
    """What a program sets that wants speed."""
    torch.set_float32_matmul_precision("high")
    backends.cudnn.benchmark = True
    yield
    torch.set_float32_matmul_precision("highest")
    backends.cudnn.benchmark = False


@pytest.mark.usefixtures("_fast_host")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_between_steps_and_afterwards_nothing_has_changed(
    precision: str, gpu: torch.device
) -> None:
    release()
    product = torch.linspace(-1, 1, 96 * 96, device=gpu).view(96, 96)
    before, result = state(gpu), product @ product
    seen: list[bool] = []

    def on_step(_step: object) -> None:
        assert state(gpu) | {"gradients": True} == before | {"gradients": True}
        seen.append(torch.equal(product @ product, result))

    recipe = Recipe(octaves=2, steps=RUNS + 1).evolve(precision=precision)
    dream(waves(size_on(gpu), 1), recipe, device=gpu, on_step=on_step)
    assert seen == [True] * (2 * (RUNS + 1))
    assert state(gpu) == before


def test_another_thread_computes_while_steps_are_recorded(gpu: torch.device) -> None:
    """It asks for memory, waits for the GPU and draws random numbers, as models do."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, 2)).to(gpu)
    faults: list[BaseException] = []
    is_over, runs = threading.Event(), [0]

    def host() -> None:
        try:
            while not is_over.is_set() or not runs[0]:
                side = 24 + 8 * (runs[0] % 40)
                noise = torch.rand(1, 3, side, side, device=gpu)
                model(noise).sum().backward()
                assert torch.isfinite(model(noise)).all()
                runs[0] += 1
        except BaseException as fault:  # noqa: BLE001 - the test's own thread tells it
            faults.append(fault)

    release()
    thread = threading.Thread(target=host)
    thread.start()
    try:
        recipe = Recipe(octaves=3, steps=RUNS + 1, precision="float32")
        dream(waves(size_on(gpu), 1), recipe, device=gpu)
    finally:
        is_over.set()
        thread.join()
    assert not faults, faults
    assert runs[0] > 0
