from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from reverie.engine.replay import replayed

if TYPE_CHECKING:
    from collections.abc import Callable

Results = tuple[torch.Tensor, torch.Tensor]


def step(image: torch.Tensor) -> Results:
    """The objective is half the mean square, weighed by the place."""
    weight = torch.linspace(1, 2, image.shape[3])
    return (image**2 * weight).mean(dim=(1, 2, 3)) / 2, image * weight / image[0].numel()


class Recorder:
    """Records as CUDA does: replaying reads one place in memory and writes another."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []
        self.replays = 0

    def __call__(
        self, step: Callable[[torch.Tensor], Results], image: torch.Tensor
    ) -> tuple[Callable[[], None], Results]:
        self.sizes.append(tuple(image.shape[2:]))
        results = step(image)

        def replay() -> None:
            self.replays += 1
            for place, result in zip(results, step(image), strict=True):
                place.copy_(result)

        return replay, results


def pictures(count: int, size: tuple[int, int]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(2, 3, *size, generator=generator) for _ in range(count)]


def test_a_recorded_step_gives_what_the_step_gives() -> None:
    recorder = Recorder()
    gradient = replayed(step, recorder)
    given = [(image, gradient(image, (0, 0))) for image in pictures(6, (20, 31))]
    assert recorder.sizes == [(20, 31)]
    assert recorder.replays == 1 + 4, "one to compare, and the last four steps"
    for image, (values, found) in given:  # none was overwritten by the steps after it
        assert torch.equal(values, step(image)[0])
        assert torch.equal(found, step(image)[1])


def test_the_step_sees_the_picture_rolled() -> None:
    gradient = replayed(step, Recorder())
    for image in pictures(4, (20, 31)):
        _, found = gradient(image, (3, -5))
        expected = torch.roll(step(torch.roll(image, (3, -5), (2, 3)))[1], (-3, 5), (2, 3))
        assert torch.equal(found, expected)


def test_each_size_is_recorded_once() -> None:
    recorder = Recorder()
    gradient = replayed(step, recorder)
    for _ in range(2):
        for size in ((20, 31), (40, 62)):
            for image in pictures(4, size):
                gradient(image, (1, 1))
    assert recorder.sizes == [(20, 31), (40, 62)]


def test_a_step_that_cannot_be_recorded_runs_as_it_is() -> None:
    def refuse(_step: object, _image: torch.Tensor) -> tuple[Callable[[], None], Results]:
        raise RuntimeError("operation not permitted when stream is capturing")

    gradient = replayed(step, refuse)
    for image in pictures(5, (20, 31)):
        assert torch.equal(gradient(image, (0, 0))[1], step(image)[1])


def test_a_recording_that_went_astray_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    """A number that Python reads while recording would stay for ever."""

    def astray(step: object, image: torch.Tensor) -> tuple[Callable[[], None], Results]:
        del step
        return (lambda: None), (torch.zeros(2), torch.rand_like(image))

    gradient = replayed(step, astray)
    for image in pictures(5, (20, 31)):
        assert torch.equal(gradient(image, (0, 0))[1], step(image)[1])
    assert len(caplog.records) == 1


def test_a_lack_of_memory_is_not_hidden() -> None:
    def full(_step: object, _image: torch.Tensor) -> tuple[Callable[[], None], Results]:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    gradient = replayed(step, full)
    images = pictures(3, (20, 31))
    gradient(images[0], (0, 0))
    gradient(images[1], (0, 0))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        gradient(images[2], (0, 0))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_cuda_graph_gives_what_the_step_gives() -> None:
    def on_device(image: torch.Tensor) -> Results:
        weight = torch.linspace(1, 2, image.shape[3], device="cuda")
        return (image**2 * weight).mean(dim=(1, 2, 3)), image * weight

    gradient = replayed(on_device)
    for image in pictures(6, (20, 31)):
        there = image.cuda()
        values, found = gradient(there, (2, 2))
        expected = on_device(torch.roll(there, (2, 2), (2, 3)))
        assert torch.allclose(values, expected[0])
        assert torch.allclose(torch.roll(found, (2, 2), (2, 3)), expected[1])
