"""A guide picture, given to the filter in a real GIMP as scripts give it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

import reverie
from place import FAST, pixels

if TYPE_CHECKING:
    from pathlib import Path

    from real_gimp import RealGimp


def dream(gimp: RealGimp, photo_file: Path, **settings: Any) -> Any:
    """Dream on the photo in floats; give status, pixels before and after, and the record."""
    words = ", ".join(f"{key}={value!r}" for key, value in {**FAST, **settings}.items())
    return gimp.run(f"""
image = load({str(photo_file)!r})
image.convert_precision(Gimp.Precision.FLOAT_NON_LINEAR)
before = save(top(image), "before")
result = dream(image, image.get_layers(), {words})
parasite = image.get_parasite("reverie-recipe")
answer({{"result": result, "before": before, "after": save(top(image), "after"),
         "record": bytes(parasite.get_data()).decode() if parasite else ""}})
image.delete()
""")


def in_library(before: Any, guide: Path, objective: str) -> Any:
    image = torch.from_numpy(before[..., :3].copy()).permute(2, 0, 1)[None]
    recipe = reverie.Recipe().evolve(**FAST, objective=objective)
    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)  # as the worker has
    try:
        with Image.open(guide) as picture:
            result = reverie.dream(image, recipe, guide=picture, device="cpu")
    finally:
        torch.set_num_threads(threads)
    return result[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("objective", ["", "guide(eyes) - 0.5*rings", "invert(rings, of=guide)"])
def test_a_guided_dream_is_that_of_the_library(
    gimp: RealGimp, photo_file: Path, guide_file: Path, objective: str
) -> None:
    found = dream(gimp, photo_file, objective=objective, guide=str(guide_file))
    assert found["result"]["status"] == "success", found["result"]
    before, after = pixels(found["before"])[..., :3], pixels(found["after"])[..., :3]
    assert np.abs(after - in_library(before, guide_file, objective)).max() < 1e-3
    assert np.abs(after - before).mean() > 0.005
    record = json.loads(found["record"])
    assert record["guided"] is True
    assert "guide" in record["recipe"]["objective"]


def test_a_preset_can_be_guided(gimp: RealGimp, photo_file: Path, guide_file: Path) -> None:
    found = dream(gimp, photo_file, preset="eyes", guide=str(guide_file))
    assert found["result"]["status"] == "success", found["result"]
    assert json.loads(found["record"])["guided"] is True


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"objective": "guide()"}, "guide() looks at a guide picture"),
        ({"objective": "mean(eyes)", "guide": "GUIDE"}, "does not look at the guide"),
        ({"guide": "/nowhere/flowers.jpg"}, "/nowhere/flowers.jpg does not exist"),
        ({"guide": "PHOTO/.."}, "is a folder"),
        ({"guide": "https://example.org/a.jpg"}, "https://example.org/a.jpg is not a file on"),
    ],
    ids=["none", "no place", "gone", "folder", "far away"],
)
def test_a_guide_that_cannot_be_used_gets_a_sentence_and_the_picture_stays(
    gimp: RealGimp, photo_file: Path, guide_file: Path, settings: dict[str, str], words: str
) -> None:
    if "guide" in settings:
        named = settings["guide"].replace("GUIDE", str(guide_file))
        settings = {**settings, "guide": named.replace("PHOTO", str(photo_file.parent))}
    found = dream(gimp, photo_file, **settings)
    assert found["result"]["status"] == "execution-error"
    assert words in found["result"]["sentence"]
    assert (pixels(found["before"]) == pixels(found["after"])).all()
