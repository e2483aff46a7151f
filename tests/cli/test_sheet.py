"""`reverie presets --sheet`: looks are chosen by eye."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from reverie.cli import sheet
from reverie.cli.progress import Interrupt, progress
from reverie.plugins import registry
from reverie.recipe import Recipe
from reverie.types import Preset

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small dreams of looks that take a step."""
    small = Recipe(objective="outlines", octaves=1, steps=1, precision="float32")
    recipes = {
        "one": small,
        "two": small.evolve(objective="rings"),
        "guided": small.evolve(objective="guide(rings)"),
        "far": small.evolve(network="googlenet", objective="inception4c"),
        "wrong": small.evolve(objective="layer(nowhere)"),
    }
    known = {n: Preset(name=n, summary="-", recipe=recipe) for n, recipe in recipes.items()}
    monkeypatch.setattr(type(registry()), "presets", lambda _: known)
    monkeypatch.setattr(sheet, "_DREAMED", 48)


def test_every_preset_that_is_here_has_a_cell_beside_the_photo(
    cli: CommandLine, waves: Path
) -> None:
    answer = cli("presets", "--sheet", "sheet.png", waves.name, "--only", "one", "two", "far")
    assert (answer.code, answer.paths) == (0, ["sheet.png"])
    with Image.open(waves.parent / "sheet.png") as image:
        pixels = np.asarray(image).astype(int)
    # The waves are 40 x 48 px: the longer side of their cells has 192.
    across, gap = 160 + 8, 8
    assert pixels.shape == (gap + 192 + 18 + gap, 3 * across + gap, 3)
    cells = [pixels[gap : gap + 192, left : left + 160] for left in (8, 8 + across, 8 + 2 * across)]
    assert all(abs(a - b).mean() > 1 for a, b in pairwise(cells))
    for left in (8, 8 + across, 8 + 2 * across):
        assert pixels[gap + 193 : gap + 209, left : left + 160].min() < 100, "no ink under it"


def test_presets_without_their_network_or_a_guide_are_named(cli: CommandLine, waves: Path) -> None:
    words = ("--only", "one", "far", "guided")
    answer = cli("presets", "--sheet", "sheet.png", waves.name, *words)
    assert answer.code == 0
    said = answer.err.splitlines()
    assert said == [
        "Left out, for their networks are not here (reverie networks fetch NAME): googlenet: far.",
        "guided is left out: it needs a guide.",
    ]


def test_the_sample_sky_is_dreamed_on_without_a_photo(cli: CommandLine, folder: Path) -> None:
    assert cli("presets", "--sheet", "sheet.jpg", "--only", "one").code == 0
    with Image.open(folder / "sheet.jpg") as image:
        assert image.size == (2 * 192 + 3 * 8, 120 + 18 + 2 * 8)


def test_a_preset_that_fails_does_not_keep_the_others_from_the_sheet(
    cli: CommandLine, folder: Path
) -> None:
    answer = cli("presets", "--sheet", "sheet.png", "--only", "wrong", "one")
    assert answer.code == 1
    assert "reverie: wrong: there is no layer in 'embedded' 'nowhere'" in answer.err
    assert (folder / "sheet.png").exists()


def test_without_any_dream_nothing_is_written(cli: CommandLine, folder: Path) -> None:
    answer = cli("presets", "--sheet", "sheet.png", "--only", "far")
    assert answer.code == 1
    assert "none of these presets has its network here" in answer.err
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--sheet sheet.png none.jpg", "none.jpg does not exist"),
        ("--sheet waves.png waves.png", "waves.png is already there"),
        ("--sheet sheet.bmp waves.png", "sheet.bmp"),
        ("--sheet nowhere/sheet.png", "the folder nowhere does not exist"),
        ("--sheet sheet.png --only oen", "there is no preset 'oen'; did you mean 'one'"),
        ("--only oen", "there is no preset 'oen'; did you mean 'one'"),
        ("waves.png", "say where the sheet goes: reverie presets --sheet OUT.png waves.png"),
        ("--sheet sheet.png waves.png --device cdua", "device: 'cdua' is unknown"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    cli: CommandLine, waves: Path, words: str, said: str
) -> None:
    before = waves.read_bytes()
    assert said in cli("presets", *words.split()).sentence
    assert [one.name for one in waves.parent.iterdir()] == [waves.name]
    assert waves.read_bytes() == before


def test_a_sheet_is_replaced_only_when_the_user_says_so(cli: CommandLine, waves: Path) -> None:
    words = ("presets", "--sheet", "sheet.png", waves.name, "--only", "one")
    assert cli(*words).code == 0
    assert "sheet.png" in cli(*words).sentence
    assert cli(*words, "--overwrite").code == 0


def test_ctrl_c_keeps_the_cells_that_are_dreamed(
    cli: CommandLine, waves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops_in_two(name: str, interrupt: Interrupt, *, quiet: bool) -> object:
        interrupt.asked = name == "two"
        return progress(name, interrupt, quiet=quiet)

    monkeypatch.setattr(sheet, "progress", stops_in_two)
    answer = cli("presets", "--sheet", "sheet.png", waves.name, "--only", "one", "two")
    assert answer.code == 130
    assert "reverie: stopped; sheet.png has 1 of 2 presets." in answer.err
    assert answer.paths == ["sheet.png"]


def test_ctrl_c_in_the_first_dream_writes_nothing(
    cli: CommandLine, waves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(name: str, interrupt: Interrupt, *, quiet: bool) -> object:
        interrupt.asked = True
        return progress(name, interrupt, quiet=quiet)

    monkeypatch.setattr(sheet, "progress", stops)
    answer = cli("presets", "--sheet", "sheet.png", waves.name, "--only", "one")
    assert (answer.code, answer.err) == (130, "reverie: stopped.\n")
    assert [each.name for each in waves.parent.iterdir()] == [waves.name]


@pytest.mark.parametrize("size", [(1, 90), (90, 1), (1, 1)])
def test_a_photo_of_any_shape_has_a_sheet(
    cli: CommandLine, folder: Path, size: tuple[int, int]
) -> None:
    Image.new("L", size, 99).save(folder / "line.png")
    answer = cli("presets", "--sheet", "sheet.webp", "line.png", "--only", "one")
    assert answer.paths == ["sheet.webp"]


def test_long_names_stay_in_their_cells(cli: CommandLine, waves: Path) -> None:
    preset = Preset(name="m" * 200, summary="-", recipe=registry().presets()["one"].recipe)
    registry().presets()[preset.name] = preset  # type: ignore[index]
    assert cli("presets", "--sheet", "s.png", waves.name, "--only", preset.name).code == 0
    with Image.open(waves.parent / "s.png") as image:
        assert np.asarray(image)[:, -8:].min() > 200
