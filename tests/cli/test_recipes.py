"""Where the settings of a dream come from: presets, recipes, pictures, options."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from reverie import Recipe, __version__, registry
from reverie.cli import dreaming
from reverie.networks import embedded
from reverie.picture import read_picture, read_record
from reverie.types import Preset

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine

QUICK = ("--size", "48", "--octaves", "1", "--steps", "1")


def record_of(path: Path | str) -> dict[str, Any]:
    from pathlib import Path

    text = read_record(Path(path))
    assert text is not None
    record: dict[str, Any] = json.loads(text)
    return record


@pytest.fixture
def presets(monkeypatch: pytest.MonkeyPatch) -> dict[str, Preset]:
    """Looks that need no download, beside the built-in ones."""
    mine = [
        Preset(
            name="mine",
            summary="Mine.",
            recipe=Recipe(objective="outlines", octaves=1, steps=2, jitter=3, size=40),
            notice="Not quite as the original.",
        ),
        Preset(name="plain", summary="Plain.", recipe=Recipe(octaves=1, steps=1, size=40)),
    ]
    known = {**registry().presets(), **{preset.name: preset for preset in mine}}
    monkeypatch.setattr(type(registry()), "presets", lambda _: known)
    return known


def test_a_dream_carries_its_recipe_with_nothing_left_open(cli: CommandLine, waves: Path) -> None:
    assert cli("dream", waves.name, *QUICK, "--device", "cpu").code == 0
    record = record_of("waves.dream.png")
    assert record["reverie"] == __version__
    assert record["device"] == "cpu"
    assert len(record["network_sha256"]) == 64
    assert "stopped_at" not in record
    recipe = record["recipe"]
    assert recipe.pop("precision") in {"float32", "bf16"}
    assert recipe == {
        "version": 1,
        "objective": 'layer("creatures")',
        "octaves": 1,
        "steps": 1,
        "size": 48,
    }


def test_info_prints_the_recipe_and_it_can_be_used_as_one(cli: CommandLine, waves: Path) -> None:
    cli.dream(waves.name, "--jitter", "5")
    answer = cli("info", "waves.dream.png")
    assert (answer.code, answer.err) == (0, "")
    assert json.loads(answer.out) == record_of("waves.dream.png")
    (waves.parent / "recipe.json").write_text(answer.out)
    assert cli("dream", waves.name, "--recipe", "recipe.json", "-o", "again.png").code == 0
    assert record_of("again.png") == record_of("waves.dream.png")
    assert cli("info", "recipe.json") == answer


def test_info_prints_a_recipe_that_stands_alone(cli: CommandLine, waves: Path) -> None:
    (waves.parent / "own.json").write_text('{"octaves": 2}', encoding="utf-8-sig")
    assert json.loads(cli("info", "own.json").out) == {"octaves": 2}


@pytest.mark.parametrize(
    "words", [("--objective", "-outlines"), ("--objective", "-0.5*eyes"), ("--objective=-eyes",)]
)
def test_an_objective_may_begin_with_a_minus(
    cli: CommandLine, waves: Path, words: tuple[str, ...]
) -> None:
    answer = cli.dream(waves.name, *words)
    assert (answer.code, answer.err) == (0, "")
    assert record_of("waves.dream.png")["recipe"]["objective"].startswith("-")


@pytest.mark.parametrize("words", ["--objective -o out.png", "--objective --steps 1"])
def test_an_option_is_not_taken_for_an_objective(
    cli: CommandLine, waves: Path, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    with pytest.raises(SystemExit):
        cli("dream", waves, *words.split())
    assert "--objective: expected one argument" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
def test_a_picture_of_any_format_repeats_its_dream_exactly(
    cli: CommandLine, waves: Path, ending: str
) -> None:
    first, second = f"first.{ending}", f"second.{ending}"
    options = ("--octaves", "2", "--jitter", "7", "--seed", "5", "--steps", "2")
    assert cli.dream(waves.name, *options, "-o", first).code == 0
    answer = cli("dream", waves.name, "--recipe", first, "-o", second)
    assert (answer.code, answer.err) == (0, "")
    folder = waves.parent
    assert np.array_equal(read_picture(folder / first).pixels, read_picture(folder / second).pixels)
    assert record_of(first) == record_of(second)
    assert cli("info", second).code == 0


def test_a_recipe_repeats_on_a_real_photo(
    cli: CommandLine, folder: Path, photo: Image.Image
) -> None:
    photo.save("sky.jpg")
    options = ("--size", "128", "--octaves", "2", "--steps", "2")
    assert cli("dream", "sky.jpg", *options).code == 0
    assert cli("dream", "sky.jpg", "--recipe", "sky.dream.png").paths == ["sky.dream-2.png"]
    first, second = (
        read_picture(folder / name).pixels for name in ("sky.dream.png", "sky.dream-2.png")
    )
    assert np.array_equal(first, second)


def test_options_win_over_a_recipe(cli: CommandLine, waves: Path) -> None:
    recipe = Recipe(objective="outlines", octaves=1, steps=1, jitter=9, clip=False, seed=3)
    (waves.parent / "recipe.json").write_text(recipe.to_json())
    answer = cli(
        "dream", waves.name, "--recipe", "recipe.json", "--seed", "4", "--clip", "--size", "40"
    )
    assert answer.code == 0
    written = record_of("waves.dream.png")["recipe"]
    assert (written["jitter"], written["seed"], written["size"]) == (9, 4, 40)
    assert "clip" not in written


def test_a_preset_is_used_its_notice_shown_and_options_win(
    cli: CommandLine, waves: Path, presets: dict[str, Preset]
) -> None:
    assert "mine" in presets
    answer = cli("dream", waves.name, "--preset", "mine", "--jitter", "4")
    assert answer.code == 0
    assert answer.err == "mine: Not quite as the original.\n"
    assert answer.paths == ["waves.dream.png"]
    written = record_of("waves.dream.png")["recipe"]
    assert (written["objective"], written["steps"]) == ('layer("outlines")', 2)
    assert written["jitter"] == 4


# -- another network -----------------------------------------------------------------------------


def test_another_network_has_other_layers(
    cli: CommandLine, waves: Path, presets: dict[str, Preset], squeezenet: str
) -> None:
    assert presets
    answer = cli("dream", waves.name, "--preset", "mine", "--network", squeezenet)
    assert answer.code == 0
    assert "squeezenet1_0 has other layers than embedded: its default is dreamed" in answer.err
    written = record_of("waves.dream.png")["recipe"]
    assert written["network"] == "squeezenet1_0:squeezenet1_0.fp16.safetensors"
    assert written["objective"].startswith('layer("features.')


def test_a_look_of_2015_can_be_had_with_a_substitute(
    cli: CommandLine, waves: Path, squeezenet: str
) -> None:
    few = ("--octaves", "1", "--steps", "1", "--size", "48")
    answer = cli("dream", waves.name, "--preset", "google-deepdream", "--network", squeezenet, *few)
    assert answer.code == 0
    notice, instead = answer.err.splitlines()
    assert "reverie networks fetch bvlc_googlenet" in notice
    assert "squeezenet1_0 has other layers than bvlc_googlenet: its default is dreamed" in instead
    assert record_of("waves.dream.png")["recipe"]["objective"].startswith('layer("features.')


def test_a_guided_look_without_a_guide_is_told_what_it_needs(
    cli: CommandLine, waves: Path, bvlc_googlenet: str
) -> None:
    words = ("dream", waves.name, "--preset", "google-guided", "--network", bvlc_googlenet)
    assert "looks at a guide picture; give one with" in cli(*words).sentence
    assert cli(*words, "--guide", waves.name, "--octaves", "1", "--steps", "1").code == 0


def test_another_network_with_an_objective_of_its_own_needs_no_words(
    cli: CommandLine, waves: Path, presets: dict[str, Preset], squeezenet: str
) -> None:
    assert presets
    words = ("--network", squeezenet, "--objective", "features.3")
    for preset in ("plain", "mine"):
        answer = cli("dream", waves.name, "--preset", preset, *words)
        assert answer.code == 0
        assert "has other layers" not in answer.err
        assert record_of(answer.paths[0])["recipe"]["objective"] == 'layer("features.3")'


def test_the_same_network_from_another_file_keeps_the_objective(
    cli: CommandLine, waves: Path
) -> None:
    cli.dream(waves.name)
    copy = waves.parent / "copy.safetensors"
    copy.write_bytes(embedded.WEIGHTS.read_bytes())
    words = ("--recipe", "waves.dream.png", "--network", f"embedded:{copy}")
    answer = cli("dream", waves.name, *words)
    assert (answer.code, answer.err) == (0, "")
    first, second = (
        read_picture(waves.parent / name).pixels for name in ("waves.dream.png", answer.paths[0])
    )
    assert np.array_equal(first, second)


def test_other_weights_than_the_recipes_are_told(cli: CommandLine, waves: Path) -> None:
    cli.dream(waves.name)
    record = record_of("waves.dream.png")
    record["network_sha256"] = "0" * 64
    (waves.parent / "recipe.json").write_text(json.dumps(record))
    answer = cli("dream", waves.name, "--recipe", "recipe.json")
    assert answer.code == 0
    assert answer.err == "The recipe was made with other weights; this dream will differ.\n"


# -- what is misspelt ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--preset", "clasic"), "there is no preset 'clasic'; did you mean 'classic'"),
        (("--preset", ""), "there is no preset ''; known: apparitions, beasts, birds"),
        (("--network", "embeded"), "there is no network 'embeded'; did you mean 'embedded'"),
        (("--network", ""), "there is no network ''"),
        (("--network", "embedded:none.pth"), "none.pth"),
        (("--objective", "eies"), "there is no layer in 'embedded' 'eies'; did you mean 'eyes"),
        (("--objective", "chanel(eyes, 3)"), "'chanel'; did you mean 'channel'"),
        (("--objective", "channel(eyes, 999)"), "channel: 999 is outside 0..383"),
        (("--objective", "eyes +"), "where a layer, a call or ( should be"),
        (("--parameterization", "pixel"), "did you mean 'pixels'"),
        (("--device", "cdua"), "device: 'cdua' is unknown; allowed: auto, cpu, cuda"),
        (("--octaves", "99"), "octaves: 99 is outside 1..12."),
        (("--steps", "many"), "steps: 'many' is not a whole number in 1..1000."),
        (("--step-size", "nan"), "step_size: 'nan' is not a number"),
        (("--carry", "details"), "carry: 'details' is not one of detail, picture."),
        (("--recipe", "none.json"), "none.json cannot be read"),
        (("--recipe", "none.png"), "none.png does not exist"),
        (("--recipe", "waves.png"), "waves.png holds no recipe"),
        (("--recipe", "field.json"), "no recipe field 'octave'; did you mean 'octaves'"),
        (("--recipe", "."), "cannot be read"),
    ],
    ids=lambda value: "-".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_what_is_wrong_is_said_once_with_the_nearest_right_names(
    cli: CommandLine, waves: Path, words: tuple[str, ...], said: str
) -> None:
    (waves.parent / "field.json").write_text('{"octave": 4}')
    with Image.open(waves) as picture:
        picture.save("b.jpg")
    answer = cli("dream", "waves.png", "b.jpg", *QUICK, *words)
    assert said in answer.sentence
    assert not list(waves.parent.glob("*.dream*"))


@pytest.mark.parametrize("words", ["--objective chanel(x,1)", "--parameterization none"])
def test_names_are_checked_before_weights_are_downloaded(
    cli: CommandLine, waves: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setattr(dreaming, "load_network", None)
    assert cli("dream", waves, "--network", "vgg16", *words.split()).sentence


def test_weights_that_are_not_here_are_said_with_address_and_folder(
    cli: CommandLine, waves: Path
) -> None:
    sentence = cli("dream", waves, "--preset", "gordicaleksa").sentence
    assert "https://download.pytorch.org/models/vgg16-397923af.pth" in sentence
    assert "checkpoints/vgg16-397923af.pth" in sentence


@pytest.mark.parametrize("name", ["none.png", "waves.png", "notes.txt", "list.json", "."])
def test_info_on_what_has_no_recipe(cli: CommandLine, waves: Path, name: str) -> None:
    (waves.parent / "notes.txt").write_text("Dear diary")
    (waves.parent / "list.json").write_text("[1, 2]")
    assert name in cli("info", name).sentence
