from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from reverie import ImageError, Recipe, RecipeError, __version__
from reverie.picture import write_picture
from reverie.record import Record, parse_record, read_recipe, write_record

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = Recipe(objective='layer("eyes")', octaves=3, precision="float32")
DIGEST = "ab" * 32


def test_a_record_says_what_made_the_picture() -> None:
    record = json.loads(write_record(RECIPE, digest=DIGEST, device="cpu"))
    assert record == {
        "reverie": __version__,
        "recipe": {
            "version": 1,
            "objective": 'layer("eyes")',
            "octaves": 3,
            "precision": "float32",
        },
        "network_sha256": DIGEST,
        "device": "cpu",
    }


def test_a_record_says_where_the_dream_was_stopped() -> None:
    record = json.loads(write_record(RECIPE, digest=DIGEST, device="cpu", done=0.12345))
    assert record["stopped_at"] == 0.123


def test_a_record_comes_back() -> None:
    assert parse_record(write_record(RECIPE, digest=DIGEST, device="cuda:0")) == Record(
        RECIPE, DIGEST
    )


def test_a_record_does_not_tell_where_its_maker_keeps_files() -> None:
    recipe = RECIPE.evolve(network="vgg16:/home/someone/private/mine.pth")
    text = write_record(recipe, digest=DIGEST, device="cpu")
    assert json.loads(text)["recipe"]["network"] == "vgg16:mine.pth"
    assert "someone" not in text


def test_a_record_is_ascii_whatever_a_file_is_called() -> None:
    recipe = RECIPE.evolve(network="vgg16:größe.pth")
    text = write_record(recipe, digest=DIGEST, device="cpu")
    assert text.isascii()
    assert parse_record(text).recipe == recipe


@pytest.mark.parametrize("digest", [None, 5, ["x"], {}])
def test_a_digest_that_is_no_text_counts_as_none(digest: object) -> None:
    text = json.dumps({"recipe": {}, "network_sha256": digest})
    assert parse_record(text) == Record(Recipe())


def test_a_recipe_is_read_from_its_own_json(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-8-sig"):
        path = tmp_path / "recipe.json"
        path.write_text(RECIPE.to_json(), encoding=encoding)
        assert read_recipe(path) == Record(RECIPE)


@pytest.mark.parametrize("ending", ["png", "PNG", "jpg", "tif", "webp"])
def test_a_recipe_is_read_from_a_picture(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"dream.{ending}"
    record = write_record(RECIPE, digest=DIGEST, device="cpu")
    write_picture(path, np.zeros((4, 5, 3)), record=record)
    assert read_recipe(path) == Record(RECIPE, DIGEST)


def test_a_picture_without_a_recipe_says_so(tmp_path: Path) -> None:
    path = tmp_path / "plain.png"
    write_picture(path, np.zeros((4, 5, 3)))
    with pytest.raises(RecipeError, match=r"plain\.png holds no recipe"):
        read_recipe(path)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none.json cannot be read: No such file"):
        read_recipe(tmp_path / "none.json")
    with pytest.raises(ImageError, match=r"none.png does not exist"):
        read_recipe(tmp_path / "none.png")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is not JSON"),
        (b"[]", "a recipe is a JSON object"),
        (b"\xff\xfe\x00", "it is not text"),
        (b"[" * 100_000, "it is not JSON"),
        (b'{"octave": 4}', "there is no recipe field 'octave'; did you mean 'octaves'"),
        (b'{"recipe": {"octaves": 99}}', "octaves: 99 is outside 1..12"),
        (b'{"version": 9}', "upgrade reverie"),
        (b'{"octaves": NaN}', "octaves: nan is not a whole number"),
    ],
    ids=lambda value: value[:20] if isinstance(value, bytes) else "",
)
def test_what_is_no_recipe_is_refused_in_one_sentence(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "recipe.json"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=words) as caught:
        read_recipe(path)
    assert "\n" not in str(caught.value)


def test_a_record_says_that_a_mask_was_used() -> None:
    text = write_record(RECIPE, digest=DIGEST, device="cpu", is_masked=True)
    assert parse_record(text) == Record(RECIPE, DIGEST, is_masked=True)
