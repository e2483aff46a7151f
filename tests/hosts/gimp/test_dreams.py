"""The filter in a real GIMP, called as scripts call it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import reverie
from place import FAST, Place, jobs, pixels, processes, wait_until, worker_processes

if TYPE_CHECKING:
    from pathlib import Path

    from real_gimp import RealGimp

ONE = torch.device("cpu")


def settings(**changes: Any) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in {**FAST, **changes}.items())


def dreamed(before: np.ndarray[Any, Any], mask: np.ndarray[Any, Any] | None = None) -> Any:
    """What the library makes of the same pixels: the worker has the machine's number of threads."""
    image = torch.from_numpy(before[..., :3].copy()).permute(2, 0, 1)[None]
    recipe = reverie.Recipe().evolve(**FAST)
    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    try:
        result = reverie.dream(image, recipe, mask=mask, device=ONE)
    finally:
        torch.set_num_threads(threads)
    return result[0].permute(1, 2, 0).numpy()


def test_the_filter_is_in_the_menu_with_an_argument_for_every_setting(gimp: RealGimp) -> None:
    found = gimp.run("""
p = Gimp.get_pdb().lookup_procedure("plug-in-reverie-dream")
answer({"menu": p.get_menu_paths(), "types": p.get_image_types(),
        "arguments": {a.name: [a.nick, a.blurb] for a in p.get_arguments()}})
""")
    assert found["menu"] == ["<Image>/Filters/Artistic"]
    assert found["types"] == "RGB*, GRAY*"
    wanted = {setting.name.replace("_", "-"): setting for setting in reverie.settings()}
    assert wanted.keys() | {"preset", "result"} <= found["arguments"].keys()
    for name, setting in wanted.items():
        nick, help_text = found["arguments"][name]
        assert nick.replace("_", "") == setting.label
        assert help_text.startswith(setting.help)


PRECISIONS = [
    *("U8_NON_LINEAR", "U8_LINEAR", "U16_NON_LINEAR", "U16_LINEAR", "U32_LINEAR"),
    *("HALF_NON_LINEAR", "FLOAT_LINEAR", "FLOAT_NON_LINEAR", "DOUBLE_LINEAR"),
]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_photo_dreams_as_in_the_library(gimp: RealGimp, photo_file: Path, precision: str) -> None:
    found = gimp.run(f"""
image = load({str(photo_file)!r})
if image.get_precision() != Gimp.Precision.{precision}:
    image.convert_precision(Gimp.Precision.{precision})
before = save(top(image), "before")
result = dream(image, image.get_layers(), {settings()})
answer({{"result": result, "before": before, "after": save(top(image), "after"),
         "layers": len(image.get_layers()),
         "precision": image.get_precision().value_name,
         "record": bytes(image.get_parasite("reverie-recipe").get_data()).decode()}})
image.delete()
""")
    assert found["result"]["status"] == "success", found["result"]
    before, after = pixels(found["before"]), pixels(found["after"])
    # Linear 8 bits are coarse in the dark: up to 13 levels of sRGB's lie between two.
    level = {"U8_NON_LINEAR": 1 / 255, "U8_LINEAR": 13 / 255}.get(precision, 1e-3)
    assert np.abs(after[..., :3] - dreamed(before)).max() <= level
    assert np.abs(after[..., :3] - before[..., :3]).mean() > 0.005
    assert found["precision"].endswith(precision)
    assert found["layers"] == 1
    assert '"octaves": 2' in found["record"]


@pytest.mark.parametrize("grey", [False, True])
def test_alpha_and_grey_layers_keep_what_they_are(
    gimp: RealGimp, photo_file: Path, grey: bool
) -> None:
    found = gimp.run(f"""
image = load({str(photo_file)!r})
if {grey}: image.convert_grayscale()
layer = top(image)
layer.add_alpha()
Gimp.context_set_feather(True)
Gimp.context_set_feather_radius(20, 20)
image.select_ellipse(Gimp.ChannelOps.REPLACE, 40, 20, 100, 80)
layer.edit_clear()
Gimp.Selection.none(image)
before = save(layer, "before")
result = dream(image, [layer], {settings()})
after = save(layer, "after")
answer({{"result": result, "before": before, "after": after, "grey": layer.is_gray()}})
image.delete()
""")
    assert found["result"]["status"] == "success", found["result"]
    before, after = pixels(found["before"]), pixels(found["after"])
    assert 0 == before[..., 3].min() < before[..., 3].mean() < 1
    assert (before[..., 3] == after[..., 3]).all()
    assert found["grey"] is grey
    assert (before[..., :3] != after[..., :3]).any()


def test_a_feathered_selection_is_blended_and_the_rest_stays_bit_for_bit(
    gimp: RealGimp, photo_file: Path
) -> None:
    found = gimp.run(f"""
image = load({str(photo_file)!r})
image.convert_precision(Gimp.Precision.FLOAT_NON_LINEAR)
layer = top(image)
before = save(layer, "before")
Gimp.context_set_feather(True)
Gimp.context_set_feather_radius(12, 12)
image.select_rectangle(Gimp.ChannelOps.REPLACE, 60, 40, 70, 50)
mask = save(image.get_selection(), "mask")
result = dream(image, [layer], {settings()})
answer({{"result": result, "before": before, "after": save(layer, "after"), "mask": mask}})
image.delete()
""")
    assert found["result"]["status"] == "success", found["result"]
    before, after = pixels(found["before"])[..., :3], pixels(found["after"])[..., :3]
    change = np.abs(after - before).max(axis=2)
    mask = pixels(found["mask"])[..., 0]  # with sRGB's curve: only where it is 0, 1, or between
    assert (change[mask == 0] == 0).all()
    assert change[mask > 0.999].mean() > 0.01
    edge = (mask > 0) & (mask < 0.3)
    assert 0 < change[edge].mean() < 0.5 * change[mask > 0.999].mean()
    # What the plug-in sends: the selection in 8 bits; near 0 the curve is straight.
    may_change = mask / 12.92 * 255 >= 0.5
    whole = dreamed(before, may_change.astype(np.float32))
    assert np.abs(whole - after)[mask > 0.999].max() < 1e-3  # GIMP blends a little there


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"preset": "eyes", **FAST}, "Reverie: eyes"),
        ({**FAST, "objective": "gazes"}, "Reverie: embedded, gazes"),
        (
            {**FAST, "objective": "gazes - rings"},
            'Reverie: embedded, layer("gazes") - layer("rings")',
        ),
    ],
)
def test_a_new_layer_is_named_after_the_recipe_and_leaves_the_old_one(
    gimp: RealGimp, photo_file: Path, asked: dict[str, Any], name: str
) -> None:
    words = ", ".join(f"{key}={value!r}" for key, value in asked.items())
    found = gimp.run(f"""
image = load({str(photo_file)!r})
layer = top(image)
before = save(layer, "before")
result = dream(image, [layer], result="new-layer", {words})
answer({{"result": result, "names": [l.get_name() for l in image.get_layers()],
         "before": before, "after": save(layer, "after"), "dream": save(top(image), "dream")}})
image.delete()
""")
    assert found["result"]["status"] == "success", found["result"]
    assert found["names"] == [name, "Background"]
    assert (pixels(found["before"]) == pixels(found["after"])).all()
    assert (pixels(found["dream"]) != pixels(found["after"])).any()


def test_a_size_dreams_small_and_gives_the_layer_back_at_its_own(
    gimp: RealGimp, photo_file: Path
) -> None:
    found = gimp.run(f"""
image = load({str(photo_file)!r})
before = save(top(image), "before")
result = dream(image, image.get_layers(), size=96, {settings()})
answer({{"result": result, "before": before, "after": save(top(image), "after")}})
image.delete()
""")
    assert found["result"]["status"] == "success", found["result"]
    before, after = pixels(found["before"]), pixels(found["after"])
    assert after.shape == before.shape
    assert np.abs(after - before).mean() > 0.005


@pytest.mark.parametrize("kind", ["mask", "channel"])
def test_layer_masks_and_channels_dream_in_grey(
    gimp: RealGimp, photo_file: Path, kind: str
) -> None:
    found = gimp.run(f"""
image = load({str(photo_file)!r})
layer = top(image)
if {kind!r} == "mask":
    drawable = layer.create_mask(Gimp.AddMaskType.COPY)
    layer.add_mask(drawable)
else:
    drawable = Gimp.Channel.new_from_component(image, Gimp.ChannelType.RED, "red")
    image.insert_channel(drawable, None, 0)
before = save(drawable, "before")
layer_before = save(layer, "layer_before")
result = dream(image, [drawable], {settings()})
refused = dream(image, [drawable], result="new-layer", {settings()})
answer({{"result": result, "refused": refused, "before": before, "after": save(drawable, "after"),
         "layer_before": layer_before, "layer_after": save(layer, "layer_after")}})
image.delete()
""")
    assert found["result"]["status"] == "success", found["result"]
    assert "cannot become a new layer" in found["refused"]["sentence"]
    before, after = pixels(found["before"]), pixels(found["after"])
    assert np.abs(after - before).mean() > 0.005
    assert (after[..., 0] == after[..., 1]).all()
    assert (pixels(found["layer_before"]) == pixels(found["layer_after"])).all()


def test_a_layer_that_lies_askew_in_the_image_dreams_where_the_selection_is(
    gimp: RealGimp, photo_file: Path
) -> None:
    found = gimp.run(f"""
image = load({str(photo_file)!r})
layer = top(image).copy()
image.insert_layer(layer, None, 0)
layer.set_offsets(-30, 25)
image.select_rectangle(Gimp.ChannelOps.REPLACE, 0, 0, 60, 60)
before = save(layer, "before")
result = dream(image, [layer], {settings()})
answer({{"result": result, "before": before, "after": save(layer, "after")}})
image.delete()
""")
    assert found["result"]["status"] == "success", found["result"]
    changed = (pixels(found["before"]) != pixels(found["after"])).any(axis=2)
    rows, columns = np.nonzero(changed)
    # Rows 0 to 60 of the image are rows -25 to 35 of the layer, columns 0 to 60 are 30 to 90.
    assert (rows.min(), rows.max()) == (0, 34)
    assert (columns.min(), columns.max()) == (30, 89)


NEW_LAYER = """
other = Gimp.Layer.new(
    image, "small", 20, 20, Gimp.ImageType.RGBA_IMAGE, 100, Gimp.LayerMode.NORMAL)
image.insert_layer(other, None, 0)
"""
NEW_GROUP = """
group = Gimp.GroupLayer.new(image, "folder")
image.insert_layer(group, None, 0)
"""
FAR_AWAY = "image.select_rectangle(Gimp.ChannelOps.REPLACE, 100, 60, 30, 30)"
IN_LOCKED_GROUP = """
other = image.get_layers()[1].copy()
image.insert_layer(other, group, 0)
group.set_lock_content(True)
"""
PALETTE = """
dither, palette = Gimp.ConvertDitherType.NONE, Gimp.ConvertPaletteType.GENERATE
image.convert_indexed(dither, palette, 16, False, False, "")
"""
REFUSED = {
    "two layers": (NEW_LAYER, "image.get_layers()", "one layer, and 2"),
    "a group": (NEW_GROUP, "[group]", "layer group"),
    "a locked layer": ("top(image).set_lock_content(True)", "[top(image)]", "locked"),
    "a layer in a locked group": (NEW_GROUP + IN_LOCKED_GROUP, "[other]", "locked"),
    "a selection elsewhere": (NEW_LAYER + FAR_AWAY, "[other]", "outside"),
    "an empty layer": (NEW_LAYER, "[other]", "empty"),
    "a palette": (PALETTE, "[top(image)]", ""),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_dreamed_on_gets_a_sentence_and_stays(
    gimp: RealGimp, photo_file: Path, case: str
) -> None:
    prepare, drawables, words = REFUSED[case]
    found = gimp.run(f"""
image = load({str(photo_file)!r})
{prepare}
before = [save(l, f"before{{l.get_id()}}") for l in image.get_layers()]
result = dream(image, {drawables}, {settings()})
answer({{"result": result, "before": before,
         "after": [save(l, f"after{{l.get_id()}}") for l in image.get_layers()]}})
image.delete()
""")
    assert found["result"]["status"] != "success"
    assert words in found["result"]["sentence"]
    for before, after in zip(found["before"], found["after"], strict=True):
        assert (pixels(before) == pixels(after)).all()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"network": "gogglenet"}, "googlenet"),
        ({"objective": "layer(iyes)"}, "eyes"),
        ({"preset": "vivd"}, "vivid"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_one(
    gimp: RealGimp, photo_file: Path, wrong: dict[str, str], words: str
) -> None:
    result = gimp.run(f"""
image = load({str(photo_file)!r})
answer(dream(image, image.get_layers(), {settings(**wrong)}))
image.delete()
""")
    assert result["status"] == "execution-error"
    assert words in result["sentence"]


LONG = settings(octaves=4, steps=500)


def begin_long_dream(gimp: RealGimp, photo_file: Path, place: Place) -> Path:
    job = gimp.start(f"""
image = load({str(photo_file)!r})
before = save(top(image), "before")
result = dream(image, image.get_layers(), {LONG})
answer({{"result": result, "before": before, "after": save(top(image), "after")}})
image.delete()
""")
    wait_until(lambda: jobs(place) == 1)
    return job


def test_killing_the_plugin_as_gimps_cancel_does_leaves_image_and_worker_unharmed(
    gimp: RealGimp, photo_file: Path, place: Place
) -> None:
    job = begin_long_dream(gimp, photo_file, place)
    (worker,) = worker_processes(place)
    for process in processes("reverie-dream.py", "-run"):
        os.kill(process, signal.SIGKILL)
    found = gimp.wait(job)
    assert found["result"]["status"] != "success"
    assert (pixels(found["before"]) == pixels(found["after"])).all()
    result = gimp.run(f"""
image = load({str(photo_file)!r})
answer(dream(image, image.get_layers(), {settings()}))
image.delete()
""")
    assert result["status"] == "success", result
    assert worker_processes(place) == [worker]


def test_a_worker_that_dies_is_a_sentence_and_the_next_dream_has_a_new_one(
    gimp: RealGimp, photo_file: Path, place: Place
) -> None:
    job = begin_long_dream(gimp, photo_file, place)
    (worker,) = worker_processes(place)
    os.kill(worker, signal.SIGKILL)
    found = gimp.wait(job)
    assert found["result"]["status"] == "execution-error"
    assert "ended" in found["result"]["sentence"]
    assert (pixels(found["before"]) == pixels(found["after"])).all()
    result = gimp.run(f"""
image = load({str(photo_file)!r})
answer(dream(image, image.get_layers(), {settings()}))
image.delete()
""")
    assert result["status"] == "success", result
    assert worker_processes(place) != [worker]


@pytest.mark.parametrize("content", [None, "{", '{"reverie": "0.1.0"}'])
def test_a_broken_setup_stays_in_the_menu_and_says_what_to_do(
    place: Place, tmp_path: Path, photo_file: Path, content: str | None
) -> None:
    import shutil

    from real_gimp import RealGimp

    profile = place.work / f"broken-{tmp_path.name}"
    shutil.copytree(place.profile, profile, ignore=shutil.ignore_patterns("pluginrc"))
    facts = profile / "plug-ins" / "reverie-dream" / "installation.json"
    if content is None:
        facts.unlink()
    else:
        facts.write_text(content, "utf-8")
    program = RealGimp(profile, place.work)
    try:
        result = program.run(f"""
image = load({str(photo_file)!r})
answer(dream(image, image.get_layers()))
""")
    finally:
        program.close()
    assert result["status"] == "execution-error"
    assert "reverie install gimp" in result["sentence"]
