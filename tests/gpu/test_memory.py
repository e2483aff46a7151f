"""Where a GPU's memory runs out, tiles are halved and the dream goes on."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tests.gpu.gradients import RUNS, cosine, waves

from reverie import Recipe, ReverieError, dream
from reverie.engine.frozen import FrozenNetwork
from reverie.networks.loading import release

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.gpu

RECIPE = Recipe(octaves=1, objective="rings", precision="float32")


@contextmanager
def share_of_what_is_needed(
    share: float, gpu: torch.device, picture: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Leave only a share of the memory that a step on the picture takes."""
    release()
    if gpu.type == "cpu":
        with monkeypatch.context() as patch:
            _refuse_more_px(int(share * picture[0, 0].numel()), patch)
            yield
        return
    dream(picture, RECIPE.evolve(steps=1), device=gpu)  # loads libraries, which stay
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    torch.cuda.reset_peak_memory_stats()
    dream(picture, RECIPE.evolve(steps=1), device=gpu)
    taken = torch.cuda.max_memory_allocated() - before
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(gpu).total_memory
    torch.cuda.set_per_process_memory_fraction((before + share * taken) / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        release()


def _refuse_more_px(most: int, patch: pytest.MonkeyPatch) -> None:
    gradient = FrozenNetwork.gradient

    def refusing(self: FrozenNetwork, objective: Any, image: torch.Tensor, *rest: Any) -> Any:
        if image[0, 0].numel() > most:
            raise RuntimeError("DefaultCPUAllocator: not enough memory")
        return gradient(self, objective, image, *rest)

    patch.setattr(FrozenNetwork, "gradient", refusing)


def large(gpu: torch.device) -> torch.Tensor:
    return waves((600, 800) if gpu.type == "cpu" else (1500, 2000), 1)


def test_tiles_are_halved_and_the_dream_is_the_same(
    gpu: torch.device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    picture = large(gpu)
    recipe = RECIPE.evolve(steps=1 if gpu.type == "cpu" else RUNS)
    expected = dream(picture, recipe, device=gpu) - picture
    with share_of_what_is_needed(0.6, gpu, picture, monkeypatch):
        found = dream(picture, recipe, device=gpu) - picture
    assert "the dream goes on in smaller tiles" in caplog.text
    assert cosine(found, expected) > 0.99


def test_far_too_little_memory_is_said_in_a_sentence(
    gpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = large(gpu)
    little = share_of_what_is_needed(0.001, gpu, picture, monkeypatch)
    with little, pytest.raises(ReverieError, match="has not enough memory for"):
        dream(picture, RECIPE.evolve(steps=1), device=gpu)
