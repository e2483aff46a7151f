"""A guide picture is named by its path, and looked at as `reverie.dream` looks at it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from tests.worker.client import RefusedError, request_part
from tests.worker.conftest import QUICK, Array, rgba

import reverie
from reverie import Recipe
from reverie.record import parse_record
from reverie.worker.room import Room

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.worker.conftest import Worker


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    """Waves that run another way, 60 x 44 px, in a file."""
    path = tmp_path / "guide.png"
    Image.fromarray(levels(rgba(60, 44).swapaxes(0, 1))).save(path)
    return path


def levels(image: Array) -> Array:
    return np.ascontiguousarray((image[..., :3] * 255).astype(np.uint8))


def colours(image: Array) -> Array:
    return np.ascontiguousarray(image[..., :3])


def recipe(objective: str) -> dict[str, Any]:
    return {**QUICK, "objective": objective}


def in_library(image: Array, objective: str, guide: Path, mask: Array | None = None) -> Array:
    with Image.open(guide) as picture:
        dreamed: Array = reverie.dream(
            colours(image), Recipe(**recipe(objective)), mask=mask, guide=picture, device="cpu"
        )
    return dreamed


@pytest.mark.parametrize(
    ("objective", "resolved"),
    [
        ("guide(outlines)", 'guide("outlines")'),
        ("outlines", 'guide("outlines")'),
        ("", 'guide("creatures")'),
        ("2*guide_mean(outlines) - rings", '2*guide_mean("outlines") - layer("rings")'),
        ("invert(outlines, of=guide)", 'invert("outlines", of="guide")'),
    ],
)
def test_a_guided_dream_is_that_of_the_library(
    worker: Worker, guide: Path, objective: str, resolved: str
) -> None:
    image = rgba(70, 90)
    result, dreamed = worker.dream(image, recipe=recipe(objective), guide=str(guide))
    assert np.array_equal(colours(result), in_library(image, objective, guide))
    assert not np.array_equal(result, image)
    record = parse_record(dreamed.header["record"])
    assert record.is_guided
    assert record.recipe.objective == resolved


def test_without_a_guide_the_record_tells_of_none(worker: Worker) -> None:
    _, dreamed = worker.dream(rgba(64, 64))
    assert "guided" not in json.loads(dreamed.header["record"])


@pytest.mark.parametrize("objective", ["guide(outlines)", "invert(outlines, of=guide)"])
def test_a_selection_is_guided_as_on_the_whole_picture(
    worker: Worker, guide: Path, objective: str
) -> None:
    image, (x, y, width, height) = rgba(150, 200), (100, 80, 30, 20)
    mask = np.zeros((150, 200), np.float32)
    mask[y : y + height, x : x + width] = 1
    expected = in_library(image, objective, guide, mask)
    result, _ = worker.dream(
        image, recipe=recipe(objective), guide=str(guide), select=[x, y, width, height]
    )
    assert np.array_equal(colours(result), expected[y : y + height, x : x + width])


def test_only_a_guide_that_is_laid_over_the_picture_needs_all_of_it(
    worker: Worker, guide: Path
) -> None:
    def sent(objective: str) -> list[int]:
        asked = {"width": 1000, "height": 900, "select": [500, 400, 30, 20]}
        with worker.connect() as link:
            return request_part(link, recipe=recipe(objective), guide=str(guide), **asked)[0]

    assert max(sent("guide(outlines)")[2:]) < 200
    assert sent("caricature(outlines, of=guide)") == [0, 0, 1000, 900]


def test_another_guide_gives_another_dream(worker: Worker, guide: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    with Image.open(guide) as picture:
        picture.transpose(Image.Transpose.ROTATE_90).save(other)
    image = rgba(64, 64)
    first, second, again = (
        worker.dream(image, recipe=recipe("guide(outlines)"), guide=str(path))[0]
        for path in (guide, other, guide)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)


@pytest.mark.skipif(os.name == "nt", reason="Windows has names in Unicode only")
def test_a_guide_may_have_any_name_that_a_file_can_have(
    worker: Worker, guide: Path, tmp_path: Path
) -> None:
    named = os.fsdecode(os.fsencode(tmp_path) + b"/h\xe9 \"'\n.png")
    try:
        os.link(guide, named)
    except OSError:
        pytest.skip("this disk takes names in UTF-8 only")
    image = rgba(64, 64)
    asked: dict[str, Any] = {"recipe": recipe("guide(outlines)")}
    result, _ = worker.dream(image, guide=named, **asked)
    assert np.array_equal(result, worker.dream(image, guide=str(guide), **asked)[0])


@pytest.mark.parametrize("given", [3, "", "guide.png", "~/guide.png", ["/guide.png"], "/a\0b"])
def test_a_guide_is_named_by_an_absolute_path(worker: Worker, given: object) -> None:
    with pytest.raises(RefusedError, match=r"guide: .* is not the absolute path") as caught:
        worker.ask(do="dream", width=64, height=64, recipe=QUICK, guide=given)
    assert caught.value.kind == "ProtocolError"


def no_file(path: Path) -> None:
    pass


def a_folder(path: Path) -> None:
    path.mkdir()


def text(path: Path) -> None:
    path.write_text("flowers", "utf-8")


def nothing(path: Path) -> None:
    path.touch()


def half_a_picture(path: Path) -> None:
    Image.fromarray(levels(rgba(60, 44))).save(path)
    path.write_bytes(path.read_bytes()[:-900])


def a_bomb(path: Path) -> None:
    Image.new("1", (30000, 20000)).save(path)


def a_pipe(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("Windows has no such pipes")
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (no_file, "does not exist"),
        (a_folder, "is a folder"),
        (text, "is not a picture reverie can read"),
        (nothing, "is empty"),
        (half_a_picture, "is damaged or cut short"),
        (a_bomb, "more than the 400 megapixels"),
        (a_pipe, "is not a file"),
    ],
)
def test_a_guide_that_is_no_picture_is_refused_before_anything_is_sent(
    worker: Worker, tmp_path: Path, make: Callable[[Path], None], words: str
) -> None:
    path = tmp_path / "flowers.png"
    make(path)
    with pytest.raises(RefusedError, match=words) as caught:
        worker.ask(do="dream", width=64, height=64, recipe=QUICK, guide=str(path))
    assert caught.value.kind == "ImageError"
    assert str(path) in str(caught.value)


def test_an_objective_that_needs_a_guide_is_refused_without_one(worker: Worker) -> None:
    with pytest.raises(RefusedError, match=r"guide\(outlines\) looks at a guide picture") as caught:
        worker.ask(do="dream", width=64, height=64, recipe=recipe("guide(outlines)"))
    assert caught.value.kind == "ObjectiveError"


def test_an_objective_that_does_not_look_at_the_guide_is_refused(
    worker: Worker, guide: Path
) -> None:
    asked = {"recipe": recipe("mean(outlines)"), "guide": str(guide)}
    with pytest.raises(RefusedError, match="does not look at the guide") as caught:
        worker.ask(do="dream", width=64, height=64, **asked)
    assert caught.value.kind == "ObjectiveError"


def test_guides_take_room_as_pictures_do(
    worker: Worker, guide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"recipe": recipe("outlines"), "guide": str(guide)}
    monkeypatch.setattr(worker.server, "_room", Room(64 * 64 + 60 * 44 - 1))
    with pytest.raises(RefusedError, match="picture and guide have more than"):
        worker.dream(rgba(64, 64), **asked)
    monkeypatch.setattr(worker.server, "_room", Room(64 * 64 + 60 * 44))
    worker.dream(rgba(64, 64), **asked)
