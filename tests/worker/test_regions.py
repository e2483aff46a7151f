"""Regions come as masks after the picture, and are dreamed as `reverie.dream` dreams them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from tests.worker.client import RefusedError, request_part, upload
from tests.worker.conftest import QUICK, Array, reader, rgba

import reverie
from reverie import Recipe
from reverie.record import parse_record

if TYPE_CHECKING:
    from pathlib import Path

    from tests.worker.conftest import Worker

OTHERS = ["rings", "channel(outlines, 3) - 0.1*eyes"]


def places(height: int, width: int) -> list[Array]:
    """A soft slope to the right, and a box, that overlap."""
    slope = np.broadcast_to(np.linspace(0, 255, width), (height, width)).astype(np.uint8)
    box = np.zeros((height, width), np.uint8)
    box[height // 4 : height // 2, width // 3 :] = 255
    return [slope, box]


def in_library(image: Array, masks: list[Array], **more: Any) -> Array:
    recipe = Recipe(**{**QUICK, **more.pop("recipe", {})})
    shares = [mask.astype(np.float32) / 255 for mask in masks]
    regions = list(zip(shares, OTHERS, strict=True))
    colours = np.ascontiguousarray(image[..., :3])
    dreamed: Array = reverie.dream(colours, recipe, regions=regions, device="cpu", **more)
    return dreamed


def test_regions_are_dreamed_as_in_the_library(worker: Worker) -> None:
    image, masks = rgba(70, 90), places(70, 90)
    result, dreamed = worker.dream(image, places=masks, regions=OTHERS)
    assert np.array_equal(result[..., :3], in_library(image, masks))
    plain, _ = worker.dream(image)
    assert not np.array_equal(result, plain)
    record = parse_record(dreamed.header["record"])
    assert record.regions == (
        'layer("rings")',
        'channel("outlines", 3) - 0.1*layer("eyes")',
    )
    assert record.recipe.objective == 'layer("outlines")'


def test_a_selection_has_the_regions_of_the_whole_picture(worker: Worker) -> None:
    image, masks, (x, y, width, height) = rgba(230, 260), places(230, 260), (100, 80, 30, 20)
    chosen = np.zeros((230, 260), np.float32)
    chosen[y : y + height, x : x + width] = 1
    result, _ = worker.dream(image, places=masks, regions=OTHERS, select=[x, y, width, height])
    expected = in_library(image, masks, mask=chosen)
    assert np.array_equal(result[..., :3], expected[y : y + height, x : x + width])


def test_only_what_the_objectives_see_is_sent(worker: Worker) -> None:
    def sent(*objectives: str) -> list[int]:
        asked = {"width": 1000, "height": 900, "select": [500, 400, 30, 20], "recipe": QUICK}
        with worker.connect() as link:
            return request_part(link, regions=list(objectives), **asked)[0]

    assert sent("rings")[2] > sent("strokes")[2]
    assert sent("strokes")[2] == sent()[2]


def test_a_region_alone_may_look_at_the_guide(worker: Worker, tmp_path: Path) -> None:
    guide = tmp_path / "guide.png"
    Image.fromarray((rgba(44, 60)[..., :3] * 255).astype(np.uint8)).save(guide)
    image, mask = rgba(70, 90), places(70, 90)[1]
    asked: dict[str, Any] = {"regions": ["guide(outlines)"], "guide": str(guide)}
    result, dreamed = worker.dream(image, places=[mask], **asked)
    record = parse_record(dreamed.header["record"])
    assert record.recipe.objective == 'layer("outlines")'
    assert record.is_guided
    with Image.open(guide) as picture:
        expected = reverie.dream(
            np.ascontiguousarray(image[..., :3]),
            Recipe(**QUICK),
            guide=picture,
            regions=[(mask.astype(np.float32) / 255, "guide(outlines)")],
            device="cpu",
        )
    assert np.array_equal(result[..., :3], expected)


def test_at_another_size_regions_are_scaled_with_the_picture(worker: Worker) -> None:
    image = rgba(96, 128)
    mask = np.zeros((96, 128), np.uint8)
    mask[:, :64] = 255
    asked: dict[str, Any] = {"recipe": {**QUICK, "size": 64}}
    plain, _ = worker.dream(image, **asked)
    result, _ = worker.dream(image, places=[mask], regions=["rings"], **asked)
    # The other half's octaves see across the border, and no farther.
    change = np.abs(result - plain).mean(axis=(0, 2))
    assert change[:48].mean() > 4 * change[112:].mean()


def test_frames_show_a_dream_with_regions(worker: Worker) -> None:
    _, dreamed = worker.dream(rgba(70, 90), places=places(70, 90), regions=OTHERS, frames=64)
    assert dreamed.frames
    assert dreamed.frames[-1][:2] == (64, 50)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("rings", "'rings' is not a list of objectives"),
        ([["rings"]], "is not a list of objectives"),
        (["rings"] * 17, "17 are too many; 16 are allowed"),
    ],
)
def test_what_is_no_list_of_regions_is_refused(worker: Worker, given: object, words: str) -> None:
    with pytest.raises(RefusedError, match=words) as caught:
        worker.ask(do="dream", width=64, height=64, recipe=QUICK, regions=given)
    assert caught.value.kind == "ProtocolError"


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        ("ringz", "did you mean 'rings'"),
        ("guide(rings)", "looks at a guide picture"),
        ("rings - blur(1)", "changes the whole picture"),
    ],
)
def test_an_objective_that_cannot_be_climbed_is_refused_before_anything_is_sent(
    worker: Worker, objective: str, words: str
) -> None:
    with pytest.raises(RefusedError, match=words):
        worker.ask(do="dream", width=64, height=64, recipe=QUICK, regions=[objective])


def test_a_mask_out_of_turn_is_refused(worker: Worker) -> None:
    image, mask = rgba(64, 64), places(64, 64)[0]
    with worker.connect() as link:
        part, rows, _ = request_part(link, recipe=QUICK, width=64, height=64, regions=["rings"])
        upload(link, part, rows, reader(image), mask=reader(mask))
        with pytest.raises(RefusedError, match=r'due as "region": \[0, 64\]'):
            link.receive()
