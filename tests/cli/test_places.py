"""Where dreams go: names, folders, and what is never replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from reverie.cli import dreaming
from reverie.picture import read_picture, read_record

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


def opened(name: str | Path) -> Image.Image:
    with Image.open(name) as picture:
        picture.load()
        return picture


def test_a_dream_lies_beside_its_picture_and_its_path_is_printed(
    cli: CommandLine, waves: Path
) -> None:
    before = waves.read_bytes()
    answer = cli.dream(waves)
    out = waves.with_name("waves.dream.png")
    assert (answer.code, answer.out, answer.err) == (0, f"{out}\n", "")
    assert read_record(out) is not None
    assert not np.array_equal(read_picture(out).pixels, read_picture(waves).pixels)
    assert waves.read_bytes() == before


def test_a_second_dream_takes_the_next_free_name(cli: CommandLine, waves: Path) -> None:
    names = [cli.dream(waves.name).out for _ in range(3)]
    assert names == ["waves.dream.png\n", "waves.dream-2.png\n", "waves.dream-3.png\n"]
    assert cli.dream(waves.name, "--overwrite").out == "waves.dream.png\n"


def test_a_folder_is_dreamed_without_the_dreams_in_it(cli: CommandLine, waves: Path) -> None:
    opened(waves).save("b.jpg")
    (waves.parent / "notes.txt").write_text("no picture")
    assert cli.dream(".").paths == ["b.dream.png", "waves.dream.png"]
    assert cli.dream(".").paths == ["b.dream-2.png", "waves.dream-2.png"]


@pytest.mark.parametrize("options", ["", "--overwrite", "-o out", "-o out --overwrite"])
def test_pictures_of_one_name_get_dreams_of_two(
    cli: CommandLine, waves: Path, options: str
) -> None:
    (waves.parent / "out").mkdir()
    opened(waves).transpose(Image.Transpose.ROTATE_90).save("waves.tif")
    answer = cli.dream("waves.png", "waves.tif", *options.split())
    assert [path.rpartition("/")[2] for path in answer.paths] == [
        "waves.dream.png",
        "waves.dream-2.png",
    ]
    first, second = (read_picture(waves.parent / path).pixels.shape for path in answer.paths)
    assert first == (second[1], second[0], 3)


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.TIF", "out.webp", "sub/out.png"])
def test_the_output_is_named(cli: CommandLine, waves: Path, name: str) -> None:
    (waves.parent / "sub").mkdir()
    assert cli.dream(waves.name, "-o", name).paths == [name]
    assert read_record(waves.parent / name) is not None


def test_the_output_is_a_folder(cli: CommandLine, waves: Path) -> None:
    (waves.parent / "sub").mkdir()
    assert cli.dream(waves.name, waves.name, "-o", "sub").paths == ["sub/waves.dream.png"]


def test_several_pictures_need_a_folder(cli: CommandLine, waves: Path) -> None:
    opened(waves).save("b.png")
    answer = cli.dream("waves.png", "b.png", "-o", "out.png")
    assert "out.png must be a folder that exists" in answer.sentence


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("there.png", "there.png is already there"),
        ("waves.png", "waves.png is already there"),
        ("link.png", "link.png is already there"),
        ("out.bmp", "out.bmp: reverie writes .png"),
        ("out", "out: reverie writes .png"),
        ("none/out.png", "the folder none does not exist"),
        ("waves.png/out.png", "waves.png"),
        ("x" * 300 + ".png", "cannot be written"),
    ],
)
def test_an_output_that_will_not_do_is_refused_before_any_work(
    cli: CommandLine, waves: Path, monkeypatch: pytest.MonkeyPatch, output: str, words: str
) -> None:
    (waves.parent / "there.png").write_bytes(b"precious")
    (waves.parent / "link.png").symlink_to(waves)
    before = waves.read_bytes()
    monkeypatch.setattr(dreaming, "load_network", None)  # would fail if it came so far
    assert words in cli.dream(waves, "-o", output).sentence
    assert waves.read_bytes() == before
    assert (waves.parent / "there.png").read_bytes() == b"precious"


def test_a_folder_that_may_not_be_written_is_refused_before_any_work(
    cli: CommandLine, waves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dreaming, "load_network", None)
    assert "/proc" in cli.dream(waves, "-o", "/proc").sentence


def test_a_picture_is_replaced_only_when_asked(cli: CommandLine, waves: Path) -> None:
    before = read_picture(waves).pixels
    assert cli.dream(waves, "-o", waves, "--overwrite").code == 0
    assert not np.array_equal(read_picture(waves).pixels, before)


def test_no_dream_replaces_a_picture_that_is_still_to_come(cli: CommandLine, waves: Path) -> None:
    later = waves.with_name("waves.dream.png")
    opened(waves).transpose(Image.Transpose.ROTATE_90).save(later)
    before = later.read_bytes()
    answer = cli.dream(waves, later, "--overwrite")
    assert "would be replaced by the dream of" in answer.sentence
    assert later.read_bytes() == before
    assert cli.dream(waves, later).code == 0


def test_a_name_taken_while_dreaming_costs_no_dream(
    cli: CommandLine, waves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*args: Any, **kwargs: Any) -> Any:
        waves.with_name("waves.dream.png").write_bytes(b"another program's")
        return dream(*args, **kwargs)

    dream = dreaming.dream_on  # type: ignore[attr-defined] # the name under which it is used
    monkeypatch.setattr(dreaming, "dream_on", slow)
    assert cli.dream(waves.name).paths == ["waves.dream-2.png"]
    assert waves.with_name("waves.dream.png").read_bytes() == b"another program's"


@pytest.mark.parametrize("name", ["~$letter.png", "-dash.png", "grün 猫.png", "two\nlines.png"])
def test_odd_names_are_names(cli: CommandLine, waves: Path, name: str) -> None:
    waves.rename(waves.with_name(name))
    answer = cli.dream("--", name)
    assert answer.out == f"{name[:-4]}.dream.png\n"


def test_a_folder_that_is_not_there_is_said_to_be_one(cli: CommandLine, waves: Path) -> None:
    assert "create it first" in cli.dream(waves, "-o", "none/").sentence
