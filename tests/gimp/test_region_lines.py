"""Regions in GIMP are a text, from scripts and from the dialog."""

from __future__ import annotations

import pytest

from region_lines import join, pairs


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, []),
        ("", []),
        ("sky = eyes", [("sky", "eyes")]),
        (
            "sky=eyes\n\n  face = channel(eyes, 7) \n",
            [("sky", "eyes"), ("face", "channel(eyes, 7)")],
        ),
        ("sky", [("sky", "")]),
        ("sky =", [("sky", "")]),
        ("sky = invert(rings, of=guide)", [("sky", "invert(rings, of=guide)")]),
        ("a = b = eyes", [("a = b", "eyes")]),
        ("a = c", [("a", "c")]),
        ("sky above = eyes", [("sky above", "eyes")]),
        ("sea = eyes", [("sea", "eyes")]),
        ("seaside", [("seaside", "")]),
    ],
)
def test_a_line_names_a_channel_and_what_is_climbed_there(
    text: str | None, found: list[tuple[str, str]]
) -> None:
    assert pairs(text, ["sky", "a", "a = b", "sky above"]) == found


def test_what_the_dialog_writes_it_reads() -> None:
    regions = [("a = b", "eyes"), ("a", ""), ("Selection Mask copy #1", "channel(eyes, 7) - rings")]
    assert pairs(join(regions), [name for name, _ in regions]) == regions
