"""`reverie dream --region`: other objectives in other places."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import reverie
from reverie.record import Record, parse_record, read_recipe, write_record

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


@pytest.fixture
def left(waves: Path) -> Path:
    with Image.open(waves) as picture:
        mask = Image.new("L", picture.size)
        mask.paste(255, (0, 0, picture.width // 2, picture.height))
    mask.save("left.png")
    return waves.with_name("left.png")


def test_the_regions_are_those_of_python(cli: CommandLine, waves: Path, left: Path) -> None:
    words = ("--region", left, "rings", "--region", left, "channel(eyes, 2)")
    assert cli.dream(waves, "-o", "out.png", *words).code == 0
    record = read_recipe(waves.with_name("out.png"))
    assert record.regions == ('layer("rings")', 'channel("eyes", 2)')
    assert record.recipe.objective == 'layer("outlines")'
    with Image.open(waves) as before, Image.open(left) as mask, Image.open("out.png") as after:
        regions = [(mask, "rings"), (mask, "channel(eyes, 2)")]
        wanted = reverie.dream(before.convert("RGB"), record.recipe, regions=regions, device="cpu")
        assert np.array_equal(np.asarray(wanted), np.asarray(after.convert("RGB")))


def test_a_recipe_with_regions_asks_for_them(cli: CommandLine, waves: Path, left: Path) -> None:
    assert cli.dream(waves, "-o", "out.png", "--region", left, "rings").code == 0
    again = cli("dream", waves, "-o", "again.png", "--recipe", "out.png")
    assert again.code == 0
    assert """--region PICTURE 'layer("rings")'""" in again.err


def test_a_batch_goes_on_only_with_the_same_regions(
    cli: CommandLine, waves: Path, left: Path
) -> None:
    words = ("-o", "out.png", "--resume")
    assert cli.dream(waves, *words, "--region", left, "rings").code == 0
    assert "1 of 1 dreams" in cli.dream(waves, *words, "--region", left, "rings").err
    assert "other regions" in cli.dream(waves, *words, "--region", left, "eyes").sentence
    assert "other regions" in cli.dream(waves, *words).sentence


@pytest.mark.parametrize(
    ("mask", "objective", "said"),
    [
        ("none.png", "rings", "none.png"),
        ("left.png", "rigns", "rings"),
        ("left.png", "channel(rings", "objective"),
        ("left.png", "guide(eyes)", "looks at a guide"),
    ],
)
def test_what_is_wrong_with_a_region_is_said_before_a_picture_is_dreamed(
    cli: CommandLine, waves: Path, left: Path, mask: str, objective: str, said: str
) -> None:
    assert left.exists()
    answer = cli.dream(waves, "-o", "out.png", "--region", mask, objective)
    assert said in answer.sentence
    assert not waves.with_name("out.png").exists()


def test_the_record_holds_the_regions_objectives() -> None:
    recipe = reverie.Recipe(objective="eyes")
    text = write_record(recipe, digest="00", device="cpu", regions=["rings"])
    assert parse_record(text) == Record(recipe, "00", regions=("rings",))
    assert "regions" not in write_record(recipe, digest="00", device="cpu")
