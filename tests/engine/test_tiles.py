from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import torch
from torch.nn import functional

from reverie import Recipe, ReverieError, dream
from reverie.device import own_grad_mode
from reverie.engine import prepare as preparing
from reverie.engine.jitter import roll, unroll
from reverie.engine.tiles import Plan, _Tiles, least, plan_tiles, tiled

if TYPE_CHECKING:
    from reverie.engine.prepare import Climb
    from reverie.engine.tiles import Gradient

CPU = torch.device("cpu")
SHIFTS = [(0, 0), (7, -30), (-300, 411)]


def picture_of(height: int, width: int) -> torch.Tensor:
    """Smooth noise, (1, 3, height, width)."""
    noise = torch.rand(1, 3, 90, 104, generator=torch.Generator().manual_seed(0))
    return functional.interpolate(noise, size=(height, width), mode="bicubic").clamp(0, 1)


def climb_of(recipe: Recipe, most: int | None = None) -> Climb:
    """A recipe made ready to see at most so many px at once."""
    with own_grad_mode():
        whole = preparing.prepare(recipe, CPU)
        if most is None:
            return whole
        return preparing.prepare(recipe, CPU, memory=most * whole.footprint)


@pytest.mark.parametrize(
    ("objective", "size", "shift"),
    [
        ("eyes", (640, 704), (0, 0)),
        ("eyes", (620, 715), (-300, 411)),
        ("creatures", (620, 715), (7, -30)),
        ("mean(gazes)", (301, 1003), (7, -30)),
    ],
)
def test_tiles_give_the_gradient_of_the_whole_picture(
    objective: str, size: tuple[int, int], shift: tuple[int, int]
) -> None:
    picture = picture_of(*size)
    recipe = Recipe(objective=objective, precision="float32")
    whole, cut = climb_of(recipe), climb_of(recipe, 360 * 360)
    expected_value, expected = whole.gradient(picture, shift)
    value, gradient = cut.gradient(picture, shift)
    assert float((gradient - expected).abs().max() / expected.abs().mean()) < 2e-3
    assert float((gradient - expected).norm() / expected.norm()) < 1e-5
    assert float(value) == pytest.approx(float(expected_value), rel=0.1)


def test_tiles_of_a_network_that_does_not_pad_weigh_what_they_should(squeezenet: str) -> None:
    picture = picture_of(500, 451)
    recipe = Recipe(network=squeezenet, objective="features.10", precision="float32")
    _, expected = climb_of(recipe).gradient(picture, (40, -9))
    _, gradient = climb_of(recipe, 390 * 390).gradient(picture, (40, -9))
    assert float((gradient - expected).norm() / expected.norm()) < 1e-5


def test_without_the_halo_the_seams_would_show() -> None:
    picture = picture_of(620, 715)
    climb = climb_of(Recipe(objective="eyes", precision="float32"))
    _, expected = climb.gradient(picture, (0, 0))
    _, gradient = tiled(climb.gradient, halo=0, stride=8, most=160 * 160)(picture, (0, 0))
    similarity = functional.cosine_similarity(gradient.flatten(), expected.flatten(), dim=0)
    assert float(similarity) < 0.99


def own_number(image: torch.Tensor, _shift: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """A gradient that is the picture it saw."""
    return image.mean(dim=(1, 2, 3)), image.clone()


@pytest.mark.parametrize("shift", SHIFTS)
def test_every_pixel_comes_back_to_its_place(shift: tuple[int, int]) -> None:
    picture = torch.arange(3.0 * 331 * 517).view(1, 3, 331, 517)
    _, found = tiled(own_number, halo=20, stride=8, most=200**2, cells=lambda _length, _axis: 1)(
        picture, shift
    )
    assert torch.equal(found, picture)


def test_the_seams_move_with_the_jitter() -> None:
    def corner(image: torch.Tensor, _shift: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        marked = torch.zeros_like(image)
        marked[:, :, 0, 0] = 1
        return image.mean(dim=(1, 2, 3)), marked

    climb = tiled(corner, halo=0, stride=8, most=128**2, cells=lambda _length, _axis: 1)
    picture = torch.zeros(1, 3, 256, 256)
    _, still = climb(picture, (0, 0))
    _, moved = climb(picture, (5, -3))
    assert int(still.sum()) == 3 * 4
    assert torch.equal(roll(moved, (5, -3)), still)
    assert torch.equal(moved, unroll(still, (5, -3)))


# -- how a picture is cut ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(4000, 6000), (6000, 4000), (10000, 10000), (300, 40000), (9, 9)])
@pytest.mark.parametrize("most", [500_000, 1_000_000, 4_194_304])
def test_tiles_cover_everything_once_within_the_limit(size: tuple[int, int], most: int) -> None:
    plan = plan_tiles(size, most, 176, 16)
    for spans, length in ((plan.rows, size[0]), (plan.columns, size[1])):
        assert [span.start for span in spans] == [0, *(span.stop for span in spans[:-1])]
        assert spans[-1].stop == length
        for span in spans:
            assert span.start % 16 == span.first % 16 == 0
            assert span.first == max(0, span.start - 176)
            assert span.last == min(length, -(-span.stop // 16) * 16 + 176 + length % 16)
            assert span.seen % 16 == length % 16, "what pads as much as is missing begins alike"
    assert plan.largest <= most


def test_a_picture_within_the_limit_is_seen_as_a_whole() -> None:
    plan = plan_tiles((400, 300), 400 * 300, 176, 16)
    assert len(plan.rows) == len(plan.columns) == 1
    assert plan.work == 400 * 300


def test_the_cheapest_grid_is_taken() -> None:
    # A strip as wide as the picture has halo on two sides only.
    strips = plan_tiles((10000, 2000), 2048**2, 176, 16)
    assert len(strips.columns) == 1
    squares = plan_tiles((10000, 10000), 2048**2, 176, 16)
    assert len(squares.columns) > 1
    assert squares.work < 1.5 * 10000 * 10000


def test_the_smallest_tile_is_what_it_is_said_to_be() -> None:
    for size in ((1000, 3000), (250, 4000), (129, 129)):
        assert plan_tiles(size, 1, 112, 16).largest <= least(112, 16)


# -- batches, and too little memory ---------------------------------------------------------------


def test_pictures_of_a_batch_get_to_the_bit_what_they_get_alone(picture: torch.Tensor) -> None:
    batch = torch.cat([picture, picture.flip(3) * 0.7, picture.flip(2)])
    climb = climb_of(Recipe(objective="eyes"))
    values, gradient = climb.gradient(batch, (3, 4))
    alone = [climb.gradient(batch[n : n + 1], (3, 4)) for n in range(3)]
    assert torch.equal(values, torch.cat([value for value, _ in alone]))
    assert torch.equal(gradient, torch.cat([each for _, each in alone]))


def limited(gradient: Gradient, most: int, error: Exception) -> tuple[Gradient, list[int]]:
    """A gradient that has memory for so many px only, and how many px it was asked for."""
    asked: list[int] = []

    def within(image: torch.Tensor, shift: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        asked.append(image.shape[2] * image.shape[3])
        if asked[-1] > most:
            raise error
        return gradient(image, shift)

    return within, asked


LACKS = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 4 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory"
    ),
]


@pytest.mark.parametrize("lack", LACKS, ids=lambda lack: type(lack).__name__)
def test_where_memory_runs_out_tiles_are_halved_and_the_dream_goes_on(
    lack: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    picture = torch.arange(3.0 * 600 * 700).view(1, 3, 600, 700)
    within, asked = limited(own_number, 90_000, lack)
    climb = tiled(within, halo=20, stride=8, cells=lambda _length, _axis: 1)
    assert torch.equal(climb(picture, (9, 9))[1], picture)
    tries = len(asked)
    assert sum(each > 90_000 for each in asked) == len(caplog.messages) >= 2
    assert "smaller tiles" in caplog.text
    assert torch.equal(climb(picture, (0, 0))[1], picture)
    assert max(asked[tries:]) <= 90_000, "it does not try again what failed"


def test_where_even_the_smallest_tile_does_not_fit_a_sentence_says_so() -> None:
    within, asked = limited(own_number, 100, MemoryError())
    climb = tiled(within, halo=20, stride=8)
    with pytest.raises(ReverieError, match=r"not enough memory for a tile of 0\.03 megapixels"):
        climb(torch.zeros(1, 3, 600, 700), (0, 0))
    assert asked[-1] <= least(20, 8)


def test_an_objective_that_needs_the_whole_picture_is_never_cut() -> None:
    within, asked = limited(own_number, 100_000, MemoryError())
    with pytest.raises(ReverieError, match="cannot be cut into tiles; set a smaller size"):
        tiled(within, None, 8, most=100)(torch.zeros(1, 3, 600, 700), (0, 0))
    assert asked == [600 * 700]


def test_other_errors_are_not_taken_for_a_lack_of_memory(caplog: pytest.LogCaptureFixture) -> None:
    within, asked = limited(own_number, 0, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        tiled(within, halo=20, stride=8)(torch.zeros(1, 3, 600, 700), (0, 0))
    assert len(asked) == 1
    assert not caplog.messages


def test_a_dream_that_runs_out_of_memory_ends_well(
    picture: torch.Tensor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    large = functional.interpolate(picture, size=(400, 500), mode="bilinear")
    recipe = Recipe(octaves=1, steps=2, objective="outlines", precision="float32")
    expected = dream(large, recipe)
    climb, before = _Tiles._climb, []

    def short(
        self: _Tiles, image: torch.Tensor, shift: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        plan: Plan = self._plan(image)
        before.append(plan.largest)
        if plan.largest > 100_000:
            raise MemoryError
        return climb(self, image, shift)

    monkeypatch.setattr(_Tiles, "_climb", short)
    with caplog.at_level(logging.WARNING, "reverie"):
        dreamed = dream(large, recipe)
    assert before[0] == 400 * 500
    assert len(before) >= 3
    assert float((dreamed - expected).abs().mean()) < 1e-4
