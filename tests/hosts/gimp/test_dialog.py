"""The dialog in a real GIMP on a screen that nobody sees: shown, dreamed from, and cancelled."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from place import Place, jobs, pixels, wait_until, worker_processes
from real_gimp import RealGimp, Screen, missing
from reverie_gimp.arguments import arguments

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = "Reverie"
KEEP = os.environ.get("REVERIE_SCREENSHOTS", "")
"""A folder to keep pictures of the dialog in."""


@pytest.fixture(scope="module")
def screen(place: Place) -> Iterator[Screen]:
    reason = missing()
    assert not reason, reason
    shown = Screen(place.work)
    yield shown
    shown.close()


@pytest.fixture(scope="module")
def gimp(place: Place, screen: Screen) -> Iterator[RealGimp]:
    program = RealGimp(place.profile, place.work, screen.display)
    program.run("answer(None)", patience=180)
    yield program
    program.close()


def open_dialog(
    gimp: RealGimp,
    screen: Screen,
    place: Place,
    photo_file: Path,
    first: str = "",
    *,
    forget: bool = True,
    **settings: object,
) -> Path:
    """Open it after what is done to the image `first`; give the job's answer to come."""
    for last in (place.profile / "plug-in-settings").glob("*reverie*"):
        if forget:
            last.unlink()  # else the dialog has the settings of the one before, not these
    words = ", ".join(f"{key}={value!r}" for key, value in settings.items())
    job = gimp.start(f"""
image = load({str(photo_file)!r})
{first}
before = save(top(image), "before")
result = dream(image, image.get_layers(), mode=Gimp.RunMode.INTERACTIVE, {words})
answer({{"result": result, "before": before, "after": save(top(image), "after"),
         "octaves": json.loads(bytes(p.get_data()))["recipe"].get("octaves")
         if (p := image.get_parasite("reverie-recipe")) else None,
         "guided": p and "guided" in json.loads(bytes(p.get_data())),
         "regions": p and json.loads(bytes(p.get_data())).get("regions")}})
image.delete()
""")
    wait_until(lambda: screen.has(TITLE))
    return job


def seen(screen: Screen, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    path = screen.picture(name)
    if KEEP:
        shutil.copy(path, Path(KEEP) / name)
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_the_preview_dreams_before_anything_is_decided_and_dream_dreams(
    gimp: RealGimp, screen: Screen, photo_file: Path, place: Place
) -> None:
    job = open_dialog(gimp, screen, place, photo_file, octaves=2, steps=3)
    first = seen(screen, "dialog-1.png")
    wait_until(lambda: worker_processes(place) and not jobs(place))
    wait_until(lambda: (seen(screen, "dialog-2.png") != first).any(axis=2).sum() > 5000)
    assert not job.exists(), "nothing was pressed yet"
    screen.press(TITLE, "alt+d")
    found = gimp.wait(job)
    assert found["result"]["status"] == "success", found["result"]
    assert found["octaves"] == 2
    assert np.abs(pixels(found["after"]) - pixels(found["before"])).mean() > 0.005
    assert not screen.has(TITLE)


def test_the_last_settings_dream_again_without_a_dialog(
    gimp: RealGimp, screen: Screen, photo_file: Path
) -> None:
    found = gimp.run(f"""
image = load({str(photo_file)!r})
before = save(top(image), "before")
result = dream(image, image.get_layers(), mode=Gimp.RunMode.WITH_LAST_VALS, octaves=1, steps=2)
answer({{"result": result, "before": before, "after": save(top(image), "after")}})
image.delete()
""")
    assert found["result"]["status"] == "success", found["result"]
    assert (pixels(found["before"]) != pixels(found["after"])).any()
    assert not screen.has(TITLE)


def test_a_guide_is_dreamed_towards_and_there_the_next_time(
    gimp: RealGimp, screen: Screen, photo_file: Path, guide_file: Path, place: Place
) -> None:
    job = open_dialog(gimp, screen, place, photo_file, octaves=2, steps=3, guide=str(guide_file))
    if KEEP:
        time.sleep(5)
        seen(screen, "guide.png")
    screen.press(TITLE, "alt+d")
    found = gimp.wait(job)
    assert found["result"]["status"] == "success", found["result"]
    assert found["guided"]
    again = gimp.run(f"""
image = load({str(photo_file)!r})
result = dream(image, image.get_layers(), mode=Gimp.RunMode.WITH_LAST_VALS)
record = json.loads(bytes(image.get_parasite("reverie-recipe").get_data()))
answer({{"result": result, "guided": record.get("guided"), "after": save(top(image), "again")}})
image.delete()
""")
    assert again["result"]["status"] == "success", again["result"]
    assert again["guided"]
    assert (pixels(again["after"]) == pixels(found["after"])).all()


def test_a_guide_can_be_taken_back(
    gimp: RealGimp, screen: Screen, photo_file: Path, guide_file: Path, place: Place
) -> None:
    (letter,) = (one["mnemonic"] for one in arguments() if one["name"] == "octaves")
    job = open_dialog(gimp, screen, place, photo_file, octaves=2, steps=3, guide=str(guide_file))
    # From the row below, over its slider.
    screen.press(TITLE, f"alt+{letter}", "shift+Tab", "shift+Tab", "space")
    time.sleep(0.5)
    seen(screen, "guide-gone.png")
    screen.press(TITLE, "alt+d")
    found = gimp.wait(job)
    assert found["result"]["status"] == "success", found["result"]
    assert found["guided"] is False


def test_a_guide_that_is_missing_is_said_in_the_dialog_which_lives_on(
    gimp: RealGimp, screen: Screen, photo_file: Path, place: Place
) -> None:
    job = open_dialog(gimp, screen, place, photo_file, objective="guide()")
    wait_until(lambda: worker_processes(place) and not jobs(place))
    time.sleep(2)
    seen(screen, "guide-missing.png")
    assert screen.has(TITLE)
    screen.press(TITLE, "Escape")
    found = gimp.wait(job)
    assert found["result"]["status"] == "cancel"
    assert (pixels(found["before"]) == pixels(found["after"])).all()


@pytest.mark.parametrize("result", ["in-place", "new-layer"])
def test_one_undo_takes_the_dream_back(
    gimp: RealGimp, screen: Screen, photo_file: Path, result: str
) -> None:
    found = gimp.run(f"""
image = load({str(photo_file)!r})
display = Gimp.Display.new(image)
before = save(top(image), "before")
result = dream(image, image.get_layers(), octaves=1, steps=2, result={result!r})
answer({{"result": result, "before": before, "after": save(top(image), "after"),
         "layers": len(image.get_layers()), "ids": [image.get_id(), display.get_id()]}})
""")
    assert found["result"]["status"] == "success", found["result"]
    assert found["layers"] == (1 if result == "in-place" else 2)
    assert (pixels(found["before"]) != pixels(found["after"])).any()
    wait_until(lambda: screen.has(r".*\[Untitled\].*"))
    screen.press(r".*\[Untitled\].*", "ctrl+z")
    time.sleep(0.5)
    image, display = found["ids"]
    undone = gimp.run(f"""
image = Gimp.Image.get_by_id({image})
answer({{"undone": save(top(image), "undone"), "layers": len(image.get_layers())}})
Gimp.Display.get_by_id({display}).delete()
""")
    assert undone["layers"] == 1
    assert (pixels(found["before"]) == pixels(undone["undone"])).all()


@pytest.mark.parametrize("keys", ["Escape", "alt+c"])
def test_cancelling_in_the_middle_leaves_the_picture_and_the_worker(
    gimp: RealGimp, screen: Screen, photo_file: Path, place: Place, keys: str
) -> None:
    job = open_dialog(gimp, screen, place, photo_file, octaves=4, steps=400)
    screen.press(TITLE, "alt+v")  # no preview: the one job is the dream
    screen.press(TITLE, "alt+d")
    wait_until(lambda: jobs(place) == 1)
    time.sleep(1)
    seen(screen, f"running-{keys}.png")
    (worker,) = worker_processes(place)
    screen.press(TITLE, keys)
    pressed = time.monotonic()
    wait_until(lambda: not screen.has(TITLE), patience=10)
    print(f"gone {time.monotonic() - pressed:.2f} s after {keys}, xdotool included")  # noqa: T201
    found = gimp.wait(job)
    assert found["result"]["status"] == "cancel"
    assert (pixels(found["before"]) == pixels(found["after"])).all()
    wait_until(lambda: jobs(place) == 0)
    assert worker_processes(place) == [worker]


def test_keep_so_far_ends_early_with_what_is_there(
    gimp: RealGimp, screen: Screen, photo_file: Path, place: Place
) -> None:
    job = open_dialog(gimp, screen, place, photo_file, octaves=3, steps=1000)
    screen.press(TITLE, "alt+v")
    screen.press(TITLE, "alt+d")
    wait_until(lambda: jobs(place) == 1)
    time.sleep(2)
    screen.press(TITLE, "alt+k")
    found = gimp.wait(job, patience=20)
    assert found["result"]["status"] == "success", found["result"]
    assert np.abs(pixels(found["after"]) - pixels(found["before"])).mean() > 0.005


def test_a_region_is_added_in_the_dialog_and_there_the_next_time(
    gimp: RealGimp, screen: Screen, photo_file: Path, place: Place
) -> None:
    (letter,) = (one["mnemonic"] for one in arguments() if one["name"] == "octaves")
    with_channel = """
image.select_rectangle(Gimp.ChannelOps.REPLACE, 96, 0, 96, 128)
Gimp.Selection.save(image).set_name("right half")
Gimp.Selection.none(image)
"""
    job = open_dialog(gimp, screen, place, photo_file, with_channel, octaves=2, steps=3)
    # The button above that row, which adds a region; then over two others to its objective.
    screen.press(TITLE, f"alt+{letter}", "shift+Tab", "shift+Tab", "space")
    time.sleep(0.5)
    screen.press(TITLE, "shift+Tab", "shift+Tab", "shift+Tab")
    screen.press(TITLE, *"rings")
    wait_until(lambda: worker_processes(place) and not jobs(place))
    time.sleep(3)
    seen(screen, "region.png")
    screen.press(TITLE, "alt+d")
    found = gimp.wait(job)
    assert found["result"]["status"] == "success", found["result"]
    assert found["regions"] == ['layer("rings")']
    again = gimp.run(f"""
image = load({str(photo_file)!r})
{with_channel}
result = dream(image, image.get_layers(), mode=Gimp.RunMode.WITH_LAST_VALS)
record = json.loads(bytes(image.get_parasite("reverie-recipe").get_data()))
answer({{"result": result, "regions": record["regions"], "after": save(top(image), "again")}})
image.delete()
""")
    assert again["result"]["status"] == "success", again["result"]
    assert again["regions"] == found["regions"]
    assert (pixels(again["after"]) == pixels(found["after"])).all()
    # An image without that channel is dreamed on without the region.
    job = open_dialog(gimp, screen, place, photo_file, forget=False)
    screen.press(TITLE, "alt+d")
    found = gimp.wait(job)
    assert found["result"]["status"] == "success", found["result"]
    assert found["regions"] is None


def test_gimp_found_nothing_to_complain_of(gimp: RealGimp) -> None:
    # Python plug-ins of GIMP's own, too, end with "gimp_flush(): error: Broken pipe" at times.
    said = [
        line
        for line in gimp.log.read_text(errors="replace").splitlines()
        if "reverie-dream" in line and "dbind" not in line and "gimp_flush" not in line
    ]
    assert not said
