"""Progress, previews, Interrupt and memory while a node runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

import reverie
from reverie.networks import loading
from reverie_comfyui import memory, progress
from reverie_comfyui.nodes.dream import DREAM

if TYPE_CHECKING:
    from collections.abc import Callable


def test_every_step_of_every_image_moves_the_bar(image: torch.Tensor, comfy: Any) -> None:
    DREAM.run(image=image.repeat(2, 1, 1, 1), octaves=2, steps=3)
    assert comfy.progress == [(step, 12) for step in range(1, 13)]


def test_previews_are_small_and_the_last_one_is_the_dream(comfy: Any) -> None:
    image = torch.rand(1, 40, 900, 3)
    made = DREAM.run(image=image, octaves=1, steps=2).values[0]
    assert 1 <= len(comfy.previews) <= 2
    assert {(kind, limit) for kind, _, limit in comfy.previews} == {("JPEG", None)}
    last = comfy.previews[-1][1]
    assert last.size == (512, 23)
    assert last.tobytes() == progress.as_bytes(made[0]).tobytes()


def test_previews_come_no_faster_than_five_a_second(
    image: torch.Tensor, comfy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr("reverie_comfyui.progress.time.monotonic", lambda: next(clock) / 100)
    DREAM.run(image=image, octaves=1, steps=50)
    assert len(comfy.progress) == 50
    assert 3 <= len(comfy.previews) <= 6  # of about 100 ticks of 10 ms


def test_interrupt_ends_the_dream_within_a_step(image: torch.Tensor, comfy: Any) -> None:
    comfy.interrupt_at = 3
    with pytest.raises(Exception) as error:  # noqa: PT011 - ComfyUI's own, and nothing around it
        DREAM.run(image=image, octaves=2, steps=10)
    assert type(error.value).__name__ == "InterruptProcessingException"
    assert len(comfy.progress) == 3
    assert comfy.emptied


def test_a_download_moves_the_bar_and_can_be_interrupted(comfy: Any) -> None:
    bar = progress.Progress(1)
    bar.on_bytes(0, None)
    bar.on_bytes(500, 2000)
    assert comfy.progress == [(0, 1), (500, 2000)]
    comfy.interrupt_at = 2
    with pytest.raises(Exception) as error:  # noqa: PT011 - ComfyUI's own, and nothing around it
        bar.on_bytes(900, 2000)
    assert type(error.value).__name__ == "InterruptProcessingException"


def test_freeing_comfyuis_memory_lets_the_networks_go(image: torch.Tensor, comfy: Any) -> None:
    first = DREAM.run(image=image, octaves=1, steps=1).values[0]
    assert loading._load.cache_info().currsize == 1
    comfy.unload_all_models()
    assert loading._load.cache_info().currsize == 0
    assert torch.equal(first, DREAM.run(image=image, octaves=1, steps=1).values[0])
    assert len(comfy.loaded) == 1


def test_networks_stay_when_comfyui_only_loads_them_again(image: torch.Tensor, comfy: Any) -> None:
    DREAM.run(image=image, octaves=1, steps=1)
    (patcher,) = comfy.loaded
    patcher.callbacks[0](patcher, False)
    assert loading._load.cache_info().currsize == 1


def test_room_is_asked_for_the_picture_that_is_dreamed_and_for_no_more_than_a_tile(
    comfy: Any,
) -> None:
    image = torch.zeros(1, 32, 64, 3)
    DREAM.run(image=image, mask=torch.zeros(1, 8, 8), octaves=1, steps=1)
    DREAM.run(image=image, mask=torch.zeros(1, 8, 8), octaves=1, steps=1, size=128)
    memory.make_room(10**9)
    assert comfy.asked == [pixels * memory.PIXEL_BYTES for pixels in (2048, 8192, 4_000_000)]


def lacking(times: int) -> Callable[[], torch.Tensor]:
    """A dream for which there is room only after so many tries."""
    tries = iter(range(times))

    def dream() -> torch.Tensor:
        for _ in tries:
            raise reverie.ReverieError("no room") from RuntimeError("CUDA out of memory")
        return torch.ones(1)

    return dream


def test_a_dream_that_lacks_memory_is_tried_again_alone_on_the_device(
    image: torch.Tensor, comfy: Any
) -> None:
    DREAM.run(image=image, octaves=1, steps=1)
    assert memory.with_all_room(lacking(1), torch.device("cpu")) == 1
    assert not comfy.loaded


@pytest.mark.usefixtures("comfy")
def test_a_dream_too_large_for_the_whole_device_says_so() -> None:
    with pytest.raises(reverie.ReverieError, match="no room"):
        memory.with_all_room(lacking(2), torch.device("cpu"))


@pytest.mark.usefixtures("comfy")
def test_other_faults_are_not_tried_again() -> None:
    tried: list[int] = []

    def dream() -> torch.Tensor:
        tried.append(1)
        raise reverie.ReverieError("another fault")

    with pytest.raises(reverie.ReverieError, match="another fault"):
        memory.with_all_room(dream, torch.device("cpu"))
    assert tried == [1]
