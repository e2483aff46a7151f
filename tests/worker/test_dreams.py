"""A dream through the worker is the dream of `reverie.dream`, number for number."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from tests.worker.client import RefusedError, request_part
from tests.worker.conftest import LONG, QUICK, Array, rgba

import reverie
from reverie import Recipe
from reverie.record import parse_record

if TYPE_CHECKING:
    from tests.worker.conftest import Worker

RECIPE = Recipe(**QUICK)


def colours(image: Array) -> Array:
    return np.ascontiguousarray(image[..., :3])


def within(box: tuple[int, int, int, int], image: Array) -> Array:
    x, y, width, height = box
    return image[y : y + height, x : x + width]


def test_a_whole_picture_is_dreamed(worker: Worker) -> None:
    image = rgba(70, 90)
    result, _ = worker.dream(image)
    assert np.array_equal(colours(result), reverie.dream(colours(image), RECIPE, device="cpu"))
    assert np.array_equal(result[..., 3], image[..., 3])


@pytest.mark.parametrize(
    "box",
    [(100, 80, 30, 20), (0, 0, 17, 13), (199, 149, 1, 1), (3, 5, 190, 140)],
    ids=["inside", "corner", "last pixel", "nearly all"],
)
def test_a_selection_is_dreamed_as_on_the_whole_picture(
    worker: Worker, box: tuple[int, int, int, int]
) -> None:
    image = rgba(150, 200)
    mask = np.zeros((150, 200), np.float32)
    within(box, mask)[:] = 1
    expected = reverie.dream(colours(image), RECIPE, mask=mask, device="cpu")
    result, dreamed = worker.dream(image, select=list(box))
    assert dreamed.header["result"] == list(box)
    assert np.array_equal(colours(result), within(box, expected))
    assert not np.array_equal(colours(result), within(box, colours(image)))


def test_a_small_selection_needs_a_small_part(worker: Worker) -> None:
    with worker.connect() as link:
        said = link.ask(
            do="dream", recipe=QUICK, width=6000, height=4000, select=[2500, 1800, 50, 40]
        )
    x, y, width, height = said["send"]
    assert width < 200
    assert height < 200
    assert x <= 2500
    assert x + width >= 2550
    assert y <= 1800
    assert y + height >= 1840


@pytest.mark.parametrize("box", [(60, 40, 80, 70), (0, 0, 200, 150)], ids=["part", "all"])
def test_a_feathered_mask_fades_the_dream(worker: Worker, box: tuple[int, int, int, int]) -> None:
    image = rgba(150, 200)
    row, column = np.mgrid[0:150, 0:200]
    distance = np.hypot(row - 75, column - 100)
    mask = (255 * np.clip((40 - distance) / 20, 0, 1)).astype(np.uint8)
    allowed = np.zeros_like(mask)
    within(box, allowed)[:] = within(box, mask)
    expected = reverie.dream(colours(image), RECIPE, mask=allowed, device="cpu")
    result, _ = worker.dream(image, mask, select=list(box))
    assert np.array_equal(colours(result), within(box, expected))
    untouched = within(box, mask) == 0
    assert np.array_equal(result[untouched], within(box, image)[untouched])


def test_a_mask_that_is_faint_everywhere_is_still_faint(worker: Worker) -> None:
    image = rgba(64, 64)
    result, _ = worker.dream(image, np.ones((64, 64), np.uint8))
    change = np.abs(result - image).max()
    assert 0 < change < 2 * 4 / 255  # 4 steps of some grey levels, and 1/255 of that


def test_a_mask_of_nothing_changes_nothing(worker: Worker) -> None:
    image = rgba(64, 64)
    result, dreamed = worker.dream(image, np.zeros((64, 64), np.uint8))
    assert np.array_equal(result, image)
    assert any("nothing changed" in report.get("notice", "") for report in dreamed.reports)


def test_colours_outside_of_white_and_black_live_on(worker: Worker) -> None:
    image = rgba(64, 80)
    image[20:24, :, :3] += 1.5
    image[40:44, :, :3] -= 1.25
    image[50, 50, 3] = 7.5
    mask = np.full((64, 80), 255, np.uint8)
    mask[:, 60:] = 0
    clipped = colours(image).clip(0, 1)
    change = reverie.dream(clipped, RECIPE, mask=mask, device="cpu") - clipped
    result, _ = worker.dream(image, mask)
    assert np.allclose(colours(result), colours(image) + change, atol=1e-6)
    assert np.array_equal(result[:, 60:], image[:, 60:])
    assert np.array_equal(result[..., 3], image[..., 3])
    assert result.max() > 1.5
    assert result.min() < -0.5


def test_a_size_dreams_small_and_lays_the_detail_on_the_sharp_picture(worker: Worker) -> None:
    image = rgba(120, 160)
    recipe = Recipe(**QUICK, size=80)
    small = torch.nn.functional.interpolate(
        torch.from_numpy(colours(image)).permute(2, 0, 1)[None],
        size=(60, 80),
        mode="bilinear",
        antialias=True,
    )
    change = reverie.dream(small, Recipe(**QUICK), device="cpu") - small
    large = torch.nn.functional.interpolate(change, size=(120, 160), mode="bilinear")
    expected = (colours(image) + large[0].permute(1, 2, 0).numpy()).clip(0, 1)
    result, dreamed = worker.dream(image, recipe={**QUICK, "size": 80})
    assert result.shape == image.shape
    assert np.allclose(colours(result), expected, atol=1e-6)
    assert parse_record(dreamed.header["record"]).recipe.size == recipe.size


@pytest.mark.parametrize("kind", ["noise", "procedural"])
def test_a_selection_starts_as_on_the_whole_picture(worker: Worker, kind: str) -> None:
    image, box = rgba(150, 200), (100, 80, 30, 20)
    mask = np.zeros((150, 200), np.float32)
    within(box, mask)[:] = 1
    expected = reverie.dream(colours(image), RECIPE.evolve(start=kind), mask=mask, device="cpu")
    result, _ = worker.dream(image, select=list(box), recipe={**QUICK, "start": kind})
    assert np.array_equal(colours(result), within(box, expected))


@pytest.mark.parametrize("box", [None, [40, 30, 80, 60]])
def test_a_dream_from_nothing_at_a_smaller_size_leaves_nothing_of_the_picture(
    worker: Worker, box: list[int] | None
) -> None:
    image = rgba(120, 160)
    image[::2, ::2, :3] *= 0.5  # detail that the small picture has not
    recipe = {**QUICK, "size": 80, "start": "grey", "step_size": 0.01}
    result, _ = worker.dream(image, recipe=recipe, select=box)
    inside = colours(result)[12:-12, 12:-12] if box else colours(result)
    assert np.abs(inside - 0.5).max() < 0.02


@pytest.mark.parametrize("size", [200, 700], ids=["smaller", "larger"])
def test_a_selection_is_scaled_as_the_whole_picture_would_be(worker: Worker, size: int) -> None:
    image, box = rgba(300, 400), (150, 100, 60, 50)
    result, dreamed = worker.dream(image, select=list(box), recipe={**QUICK, "size": size})
    assert dreamed.header["result"] == list(box)
    assert result.shape == (50, 60, 4)
    whole, _ = worker.dream(image, recipe={**QUICK, "size": size})
    change, of_whole = (
        colours(each) - within(box, colours(image)) for each in (result, within(box, whole))
    )
    assert np.corrcoef(change[9:-9, 9:-9].ravel(), of_whole[9:-9, 9:-9].ravel())[0, 1] > 0.5


def test_a_picture_smaller_than_the_network_can_see_is_dreamed(worker: Worker) -> None:
    image = rgba(3, 5)
    result, _ = worker.dream(image, frames=256)
    assert np.array_equal(colours(result), reverie.dream(colours(image), RECIPE, device="cpu"))


def test_a_picture_too_large_for_memory_is_dreamed_in_files(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 350_000_000
    monkeypatch.setattr("reverie.worker.job._memory", lambda *_: most)
    image = rgba(1200, 1600)
    recipe = {**QUICK, "octaves": 1, "steps": 1}
    result, _ = worker.dream(image, recipe=recipe)
    expected = reverie.dream(colours(image), Recipe(**recipe), device="cpu", memory=most)
    assert np.array_equal(colours(result), expected)
    assert np.array_equal(result[..., 3], image[..., 3])


def test_the_record_is_what_pictures_carry(worker: Worker) -> None:
    _, dreamed = worker.dream(rgba(64, 64), select=[0, 0, 20, 20])
    record = parse_record(dreamed.header["record"])
    assert record.is_masked
    assert record.is_whole
    assert record.recipe.evolve(objective="outlines") == RECIPE
    assert record.recipe.objective == 'layer("outlines")'


def test_a_preset_is_laid_under_the_recipe(worker: Worker) -> None:
    known = reverie.registry().presets()["vivid"].recipe
    _, dreamed = worker.dream(rgba(48, 48), preset="vivid", recipe={"octaves": 1, "steps": 2})
    recipe = parse_record(dreamed.header["record"]).recipe
    assert (recipe.octaves, recipe.steps) == (1, 2)
    assert recipe.smoothing == known.smoothing != Recipe().smoothing


def test_every_step_is_reported(worker: Worker) -> None:
    _, dreamed = worker.dream(rgba(90, 120))
    steps = [report for report in dreamed.reports if "step" in report]
    assert [(s["octave"], s["step"]) for s in steps] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert {(s["octaves"], s["steps"]) for s in steps} == {(2, 2)}
    assert steps[-1]["done"] == dreamed.header["done"] == 1
    assert steps[0]["seconds_left"] is None
    assert steps[-1]["seconds_left"] == 0
    assert all(math.isfinite(step["objective"]) for step in steps)
    assert not dreamed.frames


def test_the_last_frame_shows_the_selection_as_it_will_be(worker: Worker) -> None:
    image, box = rgba(150, 200), (60, 40, 90, 60)
    result, dreamed = worker.dream(image, select=list(box), frames=64)
    assert {frame[:2] for frame in dreamed.frames} == {(64, 43)}
    shown = np.frombuffer(dreamed.frames[-1][2], np.uint8).reshape(43, 64, 3) / 255
    levels = Image.fromarray((colours(result) * 255).round().astype(np.uint8))
    expected = np.asarray(levels.resize((64, 43), Image.Resampling.BILINEAR)) / 255
    assert np.abs(shown - expected).max() < 0.03
    before = Image.fromarray((colours(within(box, image)) * 255).round().astype(np.uint8))
    unchanged = np.asarray(before.resize((64, 43), Image.Resampling.BILINEAR)) / 255
    assert np.abs(shown - unchanged).mean() > 5 * np.abs(shown - expected).mean()


def test_a_frame_shows_all_that_was_selected_though_the_mask_has_less(worker: Worker) -> None:
    image = rgba(200, 300)
    mask = np.zeros((200, 300), np.uint8)
    mask[150:170, 250:280] = 255
    result, dreamed = worker.dream(image, mask, frames=300)
    width, height, data = dreamed.frames[-1]
    assert (width, height) == (300, 200)
    shown = np.frombuffer(data, np.uint8).reshape(200, 300, 3) / 255
    assert np.abs(shown - colours(result)).max() < 0.02
    assert np.abs(shown - colours(result))[mask > 0].max() < 0.003


def test_frames_are_no_larger_than_the_selection(worker: Worker) -> None:
    _, dreamed = worker.dream(rgba(48, 60), frames=1024)
    assert {frame[:2] for frame in dreamed.frames} == {(60, 48)}


def test_frames_come_five_times_a_second_at_most(worker: Worker) -> None:
    recipe = {**QUICK, "octaves": 1, "steps": 60}
    _, dreamed = worker.dream(rgba(64, 64), frames=64, recipe=recipe)
    steps = [report for report in dreamed.reports if "step" in report]
    assert 2 <= len(dreamed.frames) < len(steps) == 60
    assert "frame" in steps[-1]


def test_stopping_keeps_the_dream_so_far(worker: Worker) -> None:
    image = rgba(64, 64)
    with worker.connect() as link:
        worker.begin(link, image, recipe=LONG, frames=32)
        while "step" not in link.receive()[0]:
            pass
        link.send({"stop": True})
        last: dict[str, object] = {}
        while "result" not in (message := link.receive()[0]):
            last = message
        assert 0 < message["done"] < 1
        assert message["done"] == last["done"]
        assert "frame" in last
        assert not parse_record(message["record"]).is_whole
        assert json.loads(message["record"])["stopped_at"] == round(message["done"], 3)
        pixels = b""
        while "end" not in (strip := link.receive())[0]:
            pixels += strip[1]
    assert len(pixels) == image.nbytes
    assert pixels != image.tobytes()


def test_numbers_that_are_none_are_refused_in_a_sentence(worker: Worker) -> None:
    image = rgba(64, 64)
    image[30, 5, 1] = np.nan
    with pytest.raises(RefusedError, match=r"rows 0 to 63 .* not numbers \(NaN") as caught:
        worker.dream(image)
    assert caught.value.kind == "ImageError"


def test_a_preset_tells_where_it_differs_from_its_source(worker: Worker) -> None:
    preset = next(
        each
        for each in reverie.registry().presets().values()
        if each.notice and each.recipe.network != "embedded" and each.recipe.objective
    )
    with worker.connect() as link:
        recipe = {"network": "embedded"}
        _, _, before = request_part(link, preset=preset.name, recipe=recipe, width=9, height=9)
    notices = [message["notice"] for message in before]
    assert notices[0] == f"{preset.name}: {preset.notice}"
    assert notices[1].startswith("embedded has other layers than")
