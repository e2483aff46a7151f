"""The procedure's arguments: all settings, frozen for scripts that name them."""

from __future__ import annotations

import numpy as np
import pytest

import reverie
from reverie.testing import check_host
from reverie_gimp.arguments import LARGEST, TAKEN, arguments, mnemonics

RELEASED = {
    "preset": "text",
    "network": "text",
    "objective": "text",
    "octaves": "integer",
    "octave-scale": "number",
    "steps": "integer",
    "step-size": "number",
    "jitter": "integer",
    "seed": "integer",
    "size": "integer",
    "carry": "choice",
    "normalization": "choice",
    "smoothing": "number",
    "clip": "boolean",
    "parameterization": "text",
    "precision": "choice",
    "colour": "choice",
    "anchor": "number",
    "edges": "choice",
    "optimizer": "choice",
    "laplacian": "integer",
    "start": "choice",
    "noise": "number",
    "rotate": "number",
    "scale": "number",
    "flip": "boolean",
    "pad": "integer",
    "crops": "integer",
    "result": "choice",
    "guide": "file",
    "regions": "text",
}
"""Scripts name these: what was released stays."""


def test_gimp_keeps_the_contract_of_a_host() -> None:
    rng = np.random.default_rng(1)
    check_host("gimp", rng.random((31, 47, 4), np.float32), rng.random((5, 3, 4), np.float32))


def test_colours_outside_of_0_to_1_and_alpha_live_on() -> None:
    host = reverie.registry().hosts()["gimp"]
    wide = np.array([[[-0.5, 0.5, 1.5, 0.25]]], np.float32)
    image = host.to_image(wide)
    assert image.flatten().tolist() == [0, 0.5, 1]
    assert host.from_image(image, wide).tolist() == wide.tolist()
    assert host.from_image(image - 0.25, wide)[0, 0].tolist() == [-0.75, 0.25, 1.25, 0.25]


def test_every_released_argument_is_there_with_its_kind() -> None:
    found = {one["name"]: one["kind"] for one in arguments()}
    assert found.items() >= RELEASED.items()
    settings = {setting.name.replace("_", "-") for setting in reverie.settings()}
    assert found.keys() == settings | {"preset", "result", "guide", "regions"}, (
        "add the new setting to RELEASED"
    )


def test_what_is_no_setting_comes_after_the_settings_as_it_was_released() -> None:
    names = [one["name"] for one in arguments()]
    assert names[0] == "preset"
    assert names[-3:] == ["result", "guide", "regions"]


def test_what_stands_below_another_row_finds_it() -> None:
    names = [one["name"] for one in arguments()]
    below = [one["below"] for one in arguments() if "below" in one]
    assert below == ["objective", "guide"]
    assert set(below) <= set(names)


def test_ranges_are_the_recipe_s_or_what_gimp_can_hold() -> None:
    found = {one["name"]: one for one in arguments()}
    assert (found["octaves"]["lower"], found["octaves"]["upper"]) == (1, 12)
    assert (found["seed"]["lower"], found["seed"]["upper"]) == (0, LARGEST)
    assert list(found["carry"]["choices"]) == ["detail", "picture"]
    for one in found.values():
        assert one["help"]
        if "lower" in one:
            assert one["lower"] <= one["default"] <= one["upper"]


def test_no_two_mnemonics_are_the_same_nor_one_of_gimp_s() -> None:
    letters = [one["mnemonic"] for one in arguments() if one["mnemonic"]]
    assert len(letters) == len(set(letters)) >= 12
    assert not set(letters) & set(TAKEN)
    for one in arguments():
        assert one["mnemonic"] in one["title"].lower()


@pytest.mark.parametrize(
    ("titles", "taken", "letters"),
    [(["ab", "a"], "", "ba"), (["a", "a"], "", "a"), (["ab"], "a", "b"), (["Ä1"], "ä", "")],
)
def test_a_title_gives_its_letter_to_one_that_has_no_other(
    titles: list[str], taken: str, letters: str
) -> None:
    assert "".join(mnemonics(titles, taken).values()) == letters
