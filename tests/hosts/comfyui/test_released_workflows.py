"""Workflows that people have saved go on working; no server is needed for this.

The page stores the values of a node's widgets by position, so an input that is inserted, removed
or moved gives its value to another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from example_workflows import FILES, nodes_of, read, widgets
from reverie_comfyui.nodes import NODES
from reverie_comfyui.v1 import inputs_of

if TYPE_CHECKING:
    from pathlib import Path

TODAY = {node.id: node for node in NODES}
LARGEST_PICTURE = 60_000


def our_nodes(file: Path) -> list[dict[str, Any]]:
    return [node for node in nodes_of(read(file)) if node["type"].startswith("Reverie")]


def by_name(file: Path) -> str:
    return file.stem


every_workflow = pytest.mark.parametrize("file", FILES, ids=by_name)


def test_there_are_example_workflows() -> None:
    assert {file.stem for file in FILES} >= {
        "simple_dream",
        "masked_dream",
        "guided_dream",
        "zoom_to_video",
        "dream_after_sampler",
    }


@every_workflow
def test_inputs_of_a_released_workflow_are_still_the_first_ones(file: Path) -> None:
    assert our_nodes(file)
    for node in our_nodes(file):
        saved = [one["name"] for one in node["inputs"] if "widget" in one]
        today = [name for name in widgets(inputs_of(TODAY[node["type"]])) if name]
        assert today[: len(saved)] == saved


@every_workflow
def test_links_of_a_released_workflow_still_have_their_ends(file: Path) -> None:
    for node in our_nodes(file):
        today = TODAY[node["type"]]
        types = {one.name: one.type for one in today.inputs()}
        assert all(types[one["name"]] == one["type"] for one in node["inputs"])
        outputs = [(one["name"], one["type"]) for one in node.get("outputs", [])]
        assert [(one.label, one.type) for one in today.outputs][: len(outputs)] == outputs


@every_workflow
def test_every_value_of_a_released_workflow_fits_the_input_at_its_position(file: Path) -> None:
    for node in our_nodes(file):
        described = TODAY[node["type"]]
        inputs = {one.name: one for one in described.inputs()}
        names = widgets(inputs_of(described))
        values = node["widgets_values"]
        assert len(values) <= len(names)
        for name, value in zip(names, values, strict=False):
            if name is None:
                assert value == "fixed"
            else:
                assert fits(value, inputs[name]), f"{node['type']}.{name}: {value!r}"


def fits(value: Any, one: Any) -> bool:
    if one.type == "COMBO":
        return value in one.choices
    if one.type == "BOOLEAN":
        return isinstance(value, bool)
    if one.type == "STRING":
        return isinstance(value, str)
    whole = one.type != "INT" or isinstance(value, int)
    return whole and one.minimum <= value <= one.maximum


@every_workflow
def test_a_workflow_has_a_small_picture_of_the_same_name(file: Path) -> None:
    picture = file.with_suffix(".jpg")
    assert 0 < picture.stat().st_size <= LARGEST_PICTURE
