"""A batch that was stopped goes on where it was, and what is there is never mistaken for it."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from reverie.cli import dreaming
from reverie.record import read_recipe, write_record

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


@pytest.fixture
def three(waves: Path) -> list[Path]:
    """The dreams of three pictures, which are still to be dreamed."""
    for name in ("a.png", "b.png"):
        shutil.copy(waves, waves.with_name(name))
    return [waves.with_name(f"{name}.dream.png") for name in ("a", "b", "waves")]


def test_only_what_is_missing_is_dreamed(cli: CommandLine, three: list[Path]) -> None:
    assert cli.dream(".", "--resume").paths == [path.name for path in three]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in three]
    three[1].unlink()
    answer = cli.dream(".", "--resume")
    assert (answer.code, answer.paths) == (0, ["b.dream.png"])
    assert "reverie: 2 of 3 dreams are there already." in answer.err
    assert three[1].read_bytes() == before[1][0]
    assert [path.stat().st_mtime_ns for path in three[::2]] == [before[0][1], before[2][1]]


def test_when_all_is_there_nothing_is_dreamed(
    cli: CommandLine, waves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.dream(waves, "-o", "out.tif", "--resume").code == 0
    monkeypatch.setattr(dreaming, "dream_on", None)
    answer = cli.dream(waves, "-o", "out.tif", "--resume")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == "reverie: 1 of 1 dreams are there already.\n"


def test_a_dream_that_was_stopped_is_dreamed_to_its_end(
    cli: CommandLine, three: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            dreaming, "write_record", lambda *a, **k: write_record(*a, **{**k, "done": 0.5})
        )
        assert cli.dream("a.png", "--resume").code == 0
    assert not read_recipe(three[0]).is_whole
    assert cli.dream(".", "--resume").paths == [path.name for path in three]
    assert read_recipe(three[0]).is_whole


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--steps 2", "was made by another recipe (steps was 1)"),
        ("--precision bf16", "was made by another recipe (precision was 'float32')"),
        ("--mask b.png", "was made without a mask"),
        ("--objective eyes", "was made by another recipe (objective was"),
    ],
)
def test_another_dream_is_refused_and_replaced_only_when_asked(
    cli: CommandLine, three: list[Path], words: str, reason: str
) -> None:
    assert cli.dream("a.png").code == 0
    before = three[0].read_bytes()
    answer = cli.dream(".", "--resume", *words.split())
    assert f"a.dream.png is there and {reason}" in answer.sentence
    assert three[0].read_bytes() == before
    assert not three[1].exists()
    paths = cli.dream(".", "--resume", "--overwrite", *words.split()).paths
    assert paths == [path.name for path in three]
    assert three[0].read_bytes() != before


def test_other_weights_are_told_apart(
    cli: CommandLine, waves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            dreaming, "write_record", lambda *a, **k: write_record(*a, **{**k, "digest": "0" * 64})
        )
        assert cli.dream(waves, "--resume").code == 0
    assert "was made with other weights" in cli.dream(waves, "--resume").sentence


@pytest.mark.parametrize("content", [b"Dear diary", None])
def test_a_file_that_is_no_dream_is_refused(
    cli: CommandLine, three: list[Path], content: bytes | None
) -> None:
    if content is None:
        Image.new("RGB", (9, 9)).save(three[0])
    else:
        three[0].write_bytes(content)
    assert "a.dream.png is there and holds no recipe" in cli.dream(".", "--resume").sentence


def test_the_dream_of_an_older_picture_or_mask_is_refused(
    cli: CommandLine, three: list[Path]
) -> None:
    masked = ("a.png", "--resume", "--mask", "b.png")
    assert cli.dream(*masked).code == 0
    made = three[0].stat().st_mtime_ns
    for name in ("a.png", "b.png"):
        os.utime(name, ns=(made + 10**9, made + 10**9))
        assert f"a.dream.png is there and is older than {name}" in cli.dream(*masked).sentence
        os.utime(name, ns=(made, made))
    assert cli.dream(*masked).code == 0
    os.utime("a.png", ns=(made + 10**9, made + 10**9))
    assert cli.dream(*masked, "--overwrite").paths == ["a.dream.png"]


def test_two_dreams_of_one_name_are_refused(cli: CommandLine, waves: Path) -> None:
    shutil.copy(waves, "waves.tif")
    sentence = cli.dream("waves.png", "waves.tif", "--resume").sentence
    assert "would both be dreamed into waves.dream.png" in sentence


def test_own_weights_are_compared_by_content(
    cli: CommandLine, waves: Path, squeezenet: str
) -> None:
    name, _, file = squeezenet.partition(":")
    shutil.copy(file, "moved.safetensors")
    words = ("-o", "out.png", "--objective", "", "--resume", "--network")
    assert cli.dream(waves, *words, squeezenet).code == 0
    os.utime("out.png")
    answer = cli.dream(waves, *words, f"{name}:moved.safetensors")
    assert "(network was" in answer.sentence  # its name is all that a record tells
    shutil.copy(file, waves.parent / file.rpartition("/")[2])
    again = cli.dream(waves, *words, f"{name}:{file.rpartition('/')[2]}")
    assert (again.code, again.out) == (0, "")


def test_a_dream_of_many_terms_is_kept_in_the_picture_and_resumed(
    cli: CommandLine, waves: Path
) -> None:
    said = (
        "strongest(eyes, 3)/2 - 1e4*l2_to_original() - blur(0.5, every=2) + direction(eyes, '3:1')"
    )
    words = (waves, "-o", "out.png", "--resume", "--objective", said)
    assert cli.dream(*words).paths == ["out.png"]
    record = read_recipe(waves.with_name("out.png"))
    assert record.recipe.objective == (
        'strongest("eyes", 3)/2 - 10000.0*l2_to_original() - blur(0.5, every=2) '
        '+ direction("eyes", "3:1")'
    )
    assert cli.dream(*words).paths == []
    again = cli.dream(waves, "-o", "again.png", "--objective", record.recipe.objective)
    assert again.code == 0
    both = [Image.open(waves.with_name(name)).tobytes() for name in ("out.png", "again.png")]
    assert both[0] == both[1]
