"""The commands that make the network, from scenes to the file that ships; gathering needs a net."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

import reverie
from reverie.networks.embedded import FEATURES
from reverie.training import looks
from reverie.training.making import main
from reverie.training.measures import crops

if TYPE_CHECKING:
    from pathlib import Path

    from reverie.training.ingredients import Ingredients

Array = np.ndarray[Any, Any]


@pytest.fixture
def folder(tmp_path: Path, scenes: Array, ingredients: Ingredients) -> Path:
    np.save(tmp_path / "scenes.npy", scenes)
    torch.save(crops(ingredients.held_out, each=2), tmp_path / "held_out.pt")
    return tmp_path


def test_a_network_is_trained_measured_and_exported(
    folder: Path, teacher_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = folder / "mine.safetensors"

    def run(step: str) -> None:
        small = ["--minutes", "0.05", "--scenes", "2", "--dreams", "2", "--pool", "4"]
        words = [step, str(folder), "--teacher", str(teacher_file), "--output", str(output)]
        monkeypatch.setattr("sys.argv", ["reverie.training", *words, *small])
        main()

    for step in ("scenes", "train", "train", "measure", "export"):  # the second goes on
        run(step)
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    measured = [line["R2"] for line in log if "R2" in line]
    assert set(measured[-1]) == set(FEATURES)
    assert max(measured[-1].values()) < 1
    assert max(log[-1]["rounding"].values()) < 0.01
    picture = Image.new("RGB", (64, 48), "grey")
    recipe = reverie.Recipe(network=f"embedded:{output}", objective="strokes", octaves=1, steps=1)
    assert reverie.dream(picture, recipe).size == picture.size


def test_scenes_that_are_there_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / "scenes.npy").read_bytes()
    monkeypatch.setattr("sys.argv", ["reverie.training", "scenes", str(folder)])
    main()
    assert (folder / "scenes.npy").read_bytes() == before


def test_a_sheet_shows_the_teachers_dreams_over_the_students(
    teacher_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "_WIDTH", 48)
    picture = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    made = looks.sheet(picture, "embedded", f"squeezenet1_0:{teacher_file}", ("rings",))
    rows = 2 * (32 + looks._LABEL)
    assert made.size == (2 * 48, rows)
    above, below = (
        np.asarray(made.crop((48, top + looks._LABEL, 96, top + rows // 2)), np.int16)
        for top in (0, rows // 2)
    )
    assert np.abs(above - below).mean() > 2, "two networks, two dreams"
