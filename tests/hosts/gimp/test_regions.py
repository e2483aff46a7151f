"""Regions: channels of the image get objectives of their own, in a real GIMP."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import reverie
from place import FAST, pixels

if TYPE_CHECKING:
    from pathlib import Path

    from real_gimp import RealGimp

RIGHT = """
image.select_rectangle(Gimp.ChannelOps.REPLACE, 100, 0, 92, 128)
Gimp.Selection.feather(image, 20)
Gimp.Selection.save(image).set_name("right = soft")
image.select_ellipse(Gimp.ChannelOps.REPLACE, 10, 10, 70, 60)
Gimp.Selection.save(image).set_name("sky")
Gimp.Selection.none(image)
"""
"""Two channels, 192 x 128 px."""


def dream(gimp: RealGimp, photo_file: Path, precision: str, more: str = "", **settings: Any) -> Any:
    words = ", ".join(f"{key}={value!r}" for key, value in {**FAST, **settings}.items())
    return gimp.run(f"""
image = load({str(photo_file)!r})
image.convert_precision(Gimp.Precision.{precision})
{RIGHT}
{more}
channels = {{c.get_name(): save(c, c.get_name().strip("= ")) for c in image.get_channels()}}
before = save(top(image), "before")
result = dream(image, [top(image)], {words})
parasite = image.get_parasite("reverie-recipe")
answer({{"result": result, "before": before, "after": save(top(image), "after"),
         "channels": channels,
         "record": bytes(parasite.get_data()).decode() if parasite else ""}})
image.delete()
""")


def in_library(found: Any, regions: dict[str, str], is_coded: bool) -> Any:
    """Dream the same; channels of 8-bit images have sRGB's curve, others are linear."""
    image = torch.from_numpy(pixels(found["before"])[..., :3].copy()).permute(2, 0, 1)[None]
    pairs = []
    for name, objective in regions.items():
        mask = pixels(found["channels"][name])[..., 0]
        if not is_coded:  # saved with sRGB's curve over the channel's own, linear numbers
            low = mask / 12.92
            mask = np.where(mask <= 0.04045, low, ((mask + 0.055) / 1.055) ** 2.4)
        pairs.append((np.ascontiguousarray(mask, np.float32), objective))
    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)  # as the worker has
    try:
        recipe = reverie.Recipe().evolve(**FAST)
        result = reverie.dream(image, recipe, regions=pairs, device="cpu")
    finally:
        torch.set_num_threads(threads)
    return result[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("precision", ["FLOAT_NON_LINEAR", "U8_NON_LINEAR"])
def test_regions_are_those_of_the_library(gimp: RealGimp, photo_file: Path, precision: str) -> None:
    regions = {"right = soft": "eyes", "sky": "channel(rings, 4) - 0.2*strokes"}
    text = "\n".join(f"{name} = {objective}" for name, objective in regions.items())
    found = dream(gimp, photo_file, precision, regions=text)
    assert found["result"]["status"] == "success", found["result"]
    after = pixels(found["after"])[..., :3]
    expected = in_library(found, regions, precision == "U8_NON_LINEAR")
    assert np.abs(after - expected).max() < 0.02  # in 256 levels: masks, or all
    assert np.abs(after - expected).mean() < 1e-3
    plain = pixels(dream(gimp, photo_file, precision)["after"])[..., :3]
    assert np.abs(after - plain).mean() > 0.01
    assert json.loads(found["record"])["regions"] == [
        'layer("eyes")',
        'channel("rings", 4) - 0.2*layer("strokes")',
    ]


def test_a_moved_layer_has_the_image_s_regions(gimp: RealGimp, photo_file: Path) -> None:
    moved = """
image.resize(292, 228, 60, 40)
image.select_rectangle(Gimp.ChannelOps.REPLACE, 60, 40, 192, 64)
Gimp.Selection.save(image).set_name("above")
Gimp.Selection.none(image)
"""
    here = """
image.select_rectangle(Gimp.ChannelOps.REPLACE, 0, 0, 192, 64)
Gimp.Selection.save(image).set_name("above")
Gimp.Selection.none(image)
"""
    first, second = (
        dream(gimp, photo_file, "FLOAT_NON_LINEAR", more, regions="above = eyes")
        for more in (moved, here)
    )
    assert first["result"]["status"] == "success", first["result"]
    assert (pixels(first["after"]) == pixels(second["after"])).all()


def test_a_channel_alone_is_climbed_with_the_network_s_default(
    gimp: RealGimp, photo_file: Path
) -> None:
    found = dream(gimp, photo_file, "U8_NON_LINEAR", objective="rings", regions="\n sky\n")
    assert found["result"]["status"] == "success", found["result"]
    assert json.loads(found["record"])["regions"] == ['layer("creatures")']


@pytest.mark.parametrize(
    ("regions", "words"),
    [
        ("sea = eyes", 'no channel "sea"; it has "sky", "right = soft"'),
        ("sky = eies", "did you mean 'eyes"),
        ("sky = guide(eyes)", "looks at a guide picture"),
        ("\n".join(["sky"] * 17), "17 are too many"),
    ],
)
def test_regions_that_cannot_be_dreamed_get_a_sentence_and_the_picture_stays(
    gimp: RealGimp, photo_file: Path, regions: str, words: str
) -> None:
    found = dream(gimp, photo_file, "U8_NON_LINEAR", regions=regions)
    assert found["result"]["status"] == "execution-error"
    assert words in found["result"]["sentence"]
    assert (pixels(found["before"]) == pixels(found["after"])).all()


def test_without_channels_the_sentence_says_how_to_make_one(
    gimp: RealGimp, photo_file: Path
) -> None:
    none = "for channel in image.get_channels(): image.remove_channel(channel)"
    found = dream(gimp, photo_file, "U8_NON_LINEAR", none, regions="sky = eyes")
    assert "Select > Save to Channel" in found["result"]["sentence"]
