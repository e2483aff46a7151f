"""`reverie dream --guide`: towards another picture."""

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


@pytest.fixture
def flowers(waves: Path) -> Path:
    with Image.open(waves) as picture:
        picture.transpose(Image.Transpose.ROTATE_90).save("flowers.png")
    return waves.with_name("flowers.png")


@pytest.mark.parametrize(
    ("words", "objective"),
    [
        ((), "guide("),
        (("--objective", "eyes"), 'guide("eyes")'),
        (("--objective", "guide(eyes) - rings"), 'guide("eyes") - layer("rings")'),
    ],
)
def test_a_layer_alone_means_the_guide_s_best_match_there(
    cli: CommandLine, waves: Path, flowers: Path, words: tuple[str, ...], objective: str
) -> None:
    assert cli.dream(waves, "-o", "out.png", "--guide", flowers, *words).code == 0
    record = read_recipe(waves.with_name("out.png"))
    assert record.is_guided
    assert record.recipe.objective.startswith(objective)
    with Image.open(waves) as before, Image.open(flowers) as guide, Image.open("out.png") as after:
        wanted = reverie.dream(before.convert("RGB"), record.recipe, guide=guide, device="cpu")
        assert np.array_equal(np.asarray(wanted), np.asarray(after.convert("RGB")))


def test_an_objective_that_does_not_look_at_the_guide_is_refused(
    cli: CommandLine, waves: Path, flowers: Path
) -> None:
    words = ("--guide", flowers, "--objective", "channel(eyes, 1)")
    assert "does not look at the guide" in cli.dream(waves, *words).sentence


def test_a_guided_recipe_asks_for_its_guide(cli: CommandLine, waves: Path, flowers: Path) -> None:
    assert cli.dream(waves, "-o", "out.png", "--guide", flowers).code == 0
    again = cli("dream", waves, "-o", "again.png", "--recipe", "out.png")
    assert again.code == 1
    assert "give it again with --guide" in again.err
    assert "looks at a guide picture" in again.sentence
