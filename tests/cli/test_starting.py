"""Dreams from nothing on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import reverie
from reverie.record import read_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


def values(path: Path | str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize("start", ["noise", "grey", "procedural"])
def test_without_a_picture_a_square_is_dreamed_from_nothing(
    cli: CommandLine, folder: Path, start: str
) -> None:
    assert cli.dream("--start", start, "--size", "64").paths == [f"{start}.dream.png"]
    made = folder / f"{start}.dream.png"
    recipe = read_recipe(made).recipe
    assert (recipe.start, recipe.size) == (start, 64)
    assert np.array_equal(values(made), np.asarray(reverie.dream(None, recipe, device="cpu")))


def test_the_size_is_written_down_where_none_was_given(
    cli: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reverie.cli.dreaming.SIDE", 56)
    assert cli.dream("--size", "0", "--start", "grey", "-o", "x.png").paths == ["x.png"]
    assert read_recipe(folder / "x.png").recipe.size == 56
    assert values("x.png").shape == (56, 56, 3)


def test_a_recipe_or_a_picture_of_one_repeats_a_dream_from_nothing(
    cli: CommandLine, folder: Path
) -> None:
    first = cli.dream("--start", "noise", "--noise", "20", "-o", "first.png")
    again = cli("dream", "--recipe", "first.png", "-o", "again.png")
    assert (first.code, again.code) == (0, 0)
    assert np.array_equal(values(folder / "first.png"), values(folder / "again.png"))


def test_a_dream_from_nothing_is_resumed_and_replaced_like_others(
    cli: CommandLine, folder: Path
) -> None:
    words = ("--start", "grey", "-o", folder / "x.png")
    assert cli.dream(*words).code == 0
    assert "is already there" in cli.dream(*words).sentence
    resumed = cli.dream(*words, "--resume")
    assert (resumed.code, resumed.paths) == (0, [])
    assert "1 of 1 dreams are there" in resumed.err
    other = cli.dream("--start", "noise", *words[2:], "--resume")
    assert "made by another recipe (start was 'grey')" in other.sentence
    assert cli.dream(*words, "--overwrite").code == 0


def test_a_picture_gives_its_size_and_alpha_and_what_the_mask_spares(
    cli: CommandLine, waves: Path
) -> None:
    pixels = values(waves)
    alpha = np.random.default_rng(1).integers(0, 256, pixels.shape[:2], np.uint8)
    Image.fromarray(np.dstack([pixels, alpha])).save(waves)
    mask = np.zeros(pixels.shape[:2], np.uint8)
    mask[:, 20:] = 255
    Image.fromarray(mask).save("mask.png")
    words = ("--start", "grey", "--size", "0", "--step-size", "0.01", "-o", "out.png")
    assert cli.dream(waves, *words, "--mask", "mask.png").code == 0
    dreamed = values("out.png")
    assert np.array_equal(dreamed[..., 3], alpha)
    assert np.array_equal(dreamed[:, :20, :3], pixels[:, :20])
    assert np.abs(dreamed[:, 20:, :3].astype(int) - 128).max() <= 2


def test_without_a_picture_and_a_start_one_sentence_says_what_to_do(
    cli: CommandLine, folder: Path
) -> None:
    assert folder.is_dir()
    assert "no picture was named; name one, or start from nothing" in cli.dream().sentence


def test_memory_is_limited_for_dreams_from_nothing_too(cli: CommandLine, folder: Path) -> None:
    assert folder.is_dir()
    assert (
        "--memory: 900M is too little" in cli.dream("--start", "grey", "--memory", "0.9G").sentence
    )
    assert cli.dream("--start", "grey", "--memory", "4G").paths == ["grey.dream.png"]
