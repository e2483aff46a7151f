from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from reverie.engine.reference import Reference
from reverie.engine.replay import replayed
from reverie.objectives import ORIGINAL

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
        self, step: Callable[[], Results], device: torch.device
    ) -> tuple[Callable[[], None], Results]:
        assert device.type == "cpu"
        results = step()
        self.sizes.append(tuple(results[1].shape[2:]))

        def replay() -> None:
            self.replays += 1
            for place, result in zip(results, step(), strict=True):
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
    def refuse(_step: object, _device: torch.device) -> tuple[Callable[[], None], Results]:
        raise RuntimeError("operation not permitted when stream is capturing")

    gradient = replayed(step, refuse)
    for image in pictures(5, (20, 31)):
        assert torch.equal(gradient(image, (0, 0))[1], step(image)[1])


def test_a_recording_that_went_astray_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    """A number that Python reads while recording would stay for ever."""

    def astray(
        step: Callable[[], Results], _device: torch.device
    ) -> tuple[Callable[[], None], Results]:
        generator = torch.Generator().manual_seed(0)
        return (lambda: None), (torch.zeros(2), torch.rand(step()[1].shape, generator=generator))

    gradient = replayed(step, astray)
    for image in pictures(5, (20, 31)):
        assert torch.equal(gradient(image, (0, 0))[1], step(image)[1])
    assert len(caplog.records) == 1


def test_a_lack_of_memory_is_not_hidden() -> None:
    def full(_step: object, _device: torch.device) -> tuple[Callable[[], None], Results]:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    gradient = replayed(step, full)
    images = pictures(3, (20, 31))
    gradient(images[0], (0, 0))
    gradient(images[1], (0, 0))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        gradient(images[2], (0, 0))


def compared(image: torch.Tensor, reference: Reference) -> Results:
    """How far the picture is from another one, weighed by what was found out about it."""
    apart = image - reference.pictures[ORIGINAL]
    weight = reference.found["weight"].view(-1, 1, 1, 1)
    return (weight * apart**2).sum(dim=(1, 2, 3)) / 2, weight * apart


def test_what_looks_at_other_pictures_is_recorded_too() -> None:
    recorder = Recorder()
    gradient = replayed(compared, recorder)
    for number, image in enumerate(pictures(6, (20, 31))):
        weight = torch.tensor([1.0, 2.0 + number])
        reference = Reference({ORIGINAL: image.flip(3)}, {"weight": weight})
        values, found = gradient(image, (3, -5), reference)
        expected = compared(image, reference)  # rolled alike, they are as far apart
        assert torch.allclose(values, expected[0], rtol=1e-5)
        assert torch.equal(found, expected[1])
    assert recorder.replays == 1 + 4
    gradient(image, (0, 0), Reference({ORIGINAL: image[:1]}, {"weight": weight}))
    assert len(recorder.sizes) == 1, "one original for all pictures is another step"


@pytest.mark.gpu
def test_a_cuda_graph_gives_what_the_step_gives(gpu: torch.device) -> None:
    def on_device(image: torch.Tensor) -> Results:
        weight = torch.linspace(1, 2, image.shape[3], device=gpu)
        return (image**2 * weight).mean(dim=(1, 2, 3)), image * weight

    gradient = replayed(on_device, Recorder() if gpu.type == "cpu" else None)
    for image in pictures(6, (20, 31)):
        there = image.to(gpu)
        values, found = gradient(there, (2, 2))
        expected = on_device(torch.roll(there, (2, 2), (2, 3)))
        assert torch.allclose(values, expected[0])
        assert torch.allclose(torch.roll(found, (2, 2), (2, 3)), expected[1])
