"""A worker gives the bytes that the ordinary command writes, and says in a sentence why not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.cli.conftest import LEAST

from reverie import Recipe, __version__
from reverie.cli import dreaming
from reverie.cli.dreamer import Dreamer
from reverie.engine.prepare import resolve
from reverie.errors import NetworkError
from reverie.networks.loading import load_network

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

RECIPE = Recipe(size=48, octaves=1, steps=1, objective="outlines", precision="float32")


def order(recipe: Recipe = RECIPE, **changes: Any) -> dict[str, Any]:
    return {
        "version": __version__,
        "recipe": resolve(recipe, torch.device("cpu")).evolve(precision=recipe.precision).to_json(),
        "digest": load_network(recipe.network).digest,
        "weights": None,
        "mask": None,
        "guide": None,
        "regions": [],
        "device": "cpu",
        "threads": 1,
        "memory": None,
        **changes,
    }


@pytest.fixture
def dreamer() -> Dreamer:
    dreamer = Dreamer()
    assert dreamer.load(order()) == {"precision": "float32"}
    return dreamer


def dreamed(dreamer: Dreamer, photo: Path, out: str = "out.png") -> dict[str, Any]:
    return dreamer.dream(str(photo), photo.read_bytes(), out, "float32")


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
def test_the_bytes_are_those_of_the_ordinary_command(
    cli: CommandLine, dreamer: Dreamer, waves: Path, ending: str
) -> None:
    assert LEAST == "--size 48 --octaves 1 --steps 1 --objective outlines --precision float32"
    assert cli.dream(waves, "-o", f"out.{ending}").code == 0
    answer = dreamed(dreamer, waves, f"/not/here/out.{ending}")
    assert answer == {"notes": (), "data": (waves.parent / f"out.{ending}").read_bytes()}


def test_a_mask_is_used(cli: CommandLine, waves: Path) -> None:
    Image.linear_gradient("L").resize((24, 24)).save("mask.png")
    assert cli.dream(waves, "-o", "out.png", "--mask", "mask.png").code == 0
    dreamer = Dreamer()
    mask = np.asarray(Image.open("mask.png"), np.float32) / np.float32(255)
    assert dreamer.load(order(mask=mask)) == {"precision": "float32"}
    assert dreamed(dreamer, waves)["data"] == (waves.parent / "out.png").read_bytes()


def test_own_weights_travel_with_the_order(cli: CommandLine, waves: Path, squeezenet: str) -> None:
    assert cli.dream(waves, "-o", "out.png", "--objective", "", "--network", squeezenet).code == 0
    file = squeezenet.partition(":")[2]
    weights = (Path(file).name, Path(file).read_bytes())
    here = order(RECIPE.evolve(network=squeezenet, objective=""), weights=weights)
    elsewhere = here["recipe"].replace(file, "/not/here")
    assert elsewhere != here["recipe"]
    dreamer = Dreamer()
    assert dreamer.load({**here, "recipe": elsewhere}) == {"precision": "float32"}
    assert dreamed(dreamer, waves)["data"] == (waves.parent / "out.png").read_bytes()


def test_precision_is_told_where_it_is_open() -> None:
    answer = Dreamer().load(order(RECIPE.evolve(precision="auto")))
    assert answer["precision"] in {"float32", "bf16"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": "0.0.1"}, f"has reverie {__version__}, you have 0.0.1; install the same"),
        ({"digest": "0" * 64}, "embedded has other weights here"),
        ({"device": "cuda:99"}, "device: 'cuda:99' is not"),
    ],
)
def test_what_is_wrong_with_a_machine_is_said(changes: dict[str, Any], words: str) -> None:
    assert words in Dreamer().load(order(**changes))["fault"]


def test_what_is_wrong_with_a_picture_is_said_with_its_own_path(
    dreamer: Dreamer, waves: Path
) -> None:
    broken = waves.with_name("broken.png")
    broken.write_bytes(b"Dear diary")
    answer = dreamed(dreamer, broken)
    assert answer["fault"].startswith(f"{broken} is not a picture")
    assert answer["for_all"] is False
    Image.new("RGBA", (40, 48), (90, 90, 90, 9)).save("clear.png")
    answer = dreamed(dreamer, waves.with_name("clear.png"), "/films/1/out.jpg")
    assert answer["fault"].startswith("/films/1/out.jpg: JPEG has no transparency")


def test_notes_are_given_on(dreamer: Dreamer, waves: Path) -> None:
    with Image.open(waves) as picture:
        picture.save("film.gif", save_all=True, append_images=[picture.rotate(9)])
    answer = dreamed(dreamer, waves.with_name("film.gif"))
    assert answer["notes"] == ("film.gif has 2 frames; only the first is used.",)


@pytest.mark.parametrize("wrong", [MemoryError(), NetworkError("it is gone")])
def test_a_fault_of_all_pictures_is_told_from_that_of_one(
    dreamer: Dreamer, waves: Path, monkeypatch: pytest.MonkeyPatch, wrong: Exception
) -> None:
    def dream(*_: Any, **__: Any) -> None:
        raise wrong

    monkeypatch.setattr(dreaming, "dream_on", dream)
    answer = dreamed(dreamer, waves)
    assert answer["for_all"] is not isinstance(wrong, MemoryError)
    assert answer["fault"] == (str(wrong) or f"{waves} does not fit into memory; set a size.")
