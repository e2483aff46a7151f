"""The nodes as ComfyUI is told of them, in both of its ways; and what must never change."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

import reverie
from reverie.plugins import Registry
from reverie.testing import check_host
from reverie_comfyui import fields, pages, v1, v3
from reverie_comfyui.nodes import NODES

if TYPE_CHECKING:
    from reverie_comfyui.description import Node

SAVED_ORDER = {
    "ReverieDream": "image preset network objective octaves octave_scale steps step_size jitter "
    "seed size carry normalization smoothing clip parameterization precision colour anchor edges "
    "optimizer laplacian start noise rotate scale flip pad crops mask recipe reverie_network "
    "reverie_objective guide regions",
    "ReverieNetwork": "network weights_file",
    "ReverieObjective": "kind layer channel x y weight expression add_to",
    "ReverieRecipe": "preset file edit recipe",
    "ReverieSaveRecipe": "recipe filename_prefix",
    "ReverieSave": "image recipe filename_prefix",
    "ReverieZoom": "image preset frames fps zoom rotation shift_x shift_y mask recipe "
    "reverie_network reverie_objective guide regions",
    "ReverieRegion": "mask objective reverie_objective regions",
}
"""Saved workflows hold values by position: append to these, and change nothing else. What is added
after a release must be optional, or files of the API that lack it are refused."""


@pytest.mark.usefixtures("comfy")
def test_ids_and_the_order_of_inputs_are_those_that_were_released() -> None:
    assert {node.id: " ".join(one.name for one in node.inputs()) for node in NODES} == SAVED_ORDER


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.id)
def test_everything_is_explained(node: Node) -> None:
    texts = [node.help]
    texts += [one.help for one in node.inputs()]
    texts += [one.help for one in node.outputs]
    for text in texts:
        assert text.endswith((".", ")"))
        assert len(text) > 15
    for one in node.inputs():
        assert one.label


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.id)
def test_no_required_input_follows_an_optional_one(node: Node) -> None:
    optional = [one.is_optional for one in node.inputs()]
    assert optional == sorted(optional)  # the page shows the required ones first


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.id)
def test_every_input_is_an_argument_of_the_function_behind(node: Node) -> None:
    code = node.run.__code__
    taken = set(code.co_varnames[: code.co_argcount])
    named = {one.name for one in node.inputs()}
    takes_more = bool(code.co_flags & 0x08)  # **chosen
    assert takes_more or named <= taken
    assert taken - {"metadata"} <= named


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.id)
def test_both_ways_tell_the_same(node: Node, v3: Any) -> None:
    from reverie_comfyui.v3 import schema

    told = schema(v3, node)
    older = v1.inputs_of(node)
    for one in told.inputs:
        kind, options = older["optional" if one.given["optional"] else "required"][one.id]
        given = {**one.given, **one.extra_dict}
        is_choice = one.io_type == "COMBO"
        assert kind == (given["options"] if is_choice else one.io_type)
        for key in options.keys() - {"dynamicPrompts"}:
            assert given[key] == options[key]
    assert [one.io_type for one in told.outputs] == [one.type for one in node.outputs]
    assert told.category == "reverie"
    assert told.is_output_node == node.writes_files


@pytest.mark.usefixtures("comfy")
def test_v3_is_taken_only_where_it_is() -> None:
    assert not v3.is_supported()


def test_v3_and_v1_dream_the_same_pixels(image: torch.Tensor, v3: Any) -> None:
    from reverie_comfyui import v3 as newer

    assert newer.is_supported()
    assert v3.NodeOutput
    values = {"image": image, "octaves": 1, "steps": 2}
    nodes = asyncio.run(newer.comfy_entrypoint().get_node_list())
    assert [node.__name__ for node in nodes] == list(SAVED_ORDER)
    new = nodes[0].execute(**values)
    old = v1.mappings()["NODE_CLASS_MAPPINGS"]["ReverieDream"]().run(**values)
    assert torch.equal(new.args[0], old[0])
    assert new.ui is None


def test_both_ways_hand_the_workflow_to_what_saves(
    image: torch.Tensor, v3: Any, comfy: Any
) -> None:
    from PIL import Image

    from reverie.record import Record
    from reverie_comfyui.nodes.save_image import SAVE_IMAGE
    from reverie_comfyui.v3 import node_class

    assert v3.NodeOutput
    values = {"image": image, "recipe": Record(reverie.Recipe()), "filename_prefix": "a"}
    hidden = type("Hidden", (), {"prompt": {"1": 2}, "extra_pnginfo": {"workflow": {}}})
    newer = node_class(SAVE_IMAGE)
    newer.hidden = hidden
    newer.execute(**values)
    older: Any = v1.node_class(SAVE_IMAGE)
    shown = older().run(**values, prompt={"1": 2}, extra_pnginfo={"workflow": {}})
    assert shown["result"] == ()
    for number in (1, 2):
        with Image.open(comfy.base / f"output/a_0000{number}_.png") as file:
            assert (file.info["prompt"], file.info["workflow"]) == ('{"1": 2}', "{}")


def test_files_from_outside_are_watched_in_both_ways(v3: Any) -> None:
    from reverie_comfyui.nodes.recipe import RECIPE_NODE
    from reverie_comfyui.v3 import node_class

    assert v3.NodeOutput
    assert node_class(RECIPE_NODE).fingerprint_inputs(preset="none", file="") == ""
    older: Any = v1.node_class(RECIPE_NODE)
    assert older.IS_CHANGED(preset="none", file="") == ""
    assert not hasattr(v1.node_class(NODES[0]), "IS_CHANGED")


def test_what_plug_ins_offer_is_in_the_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plugin:
        @staticmethod
        @reverie.hookimpl
        def reverie_presets() -> list[reverie.Preset]:
            return [reverie.Preset(name="whisper", summary="Soft.", recipe=reverie.Recipe())]

        @staticmethod
        @reverie.hookimpl
        def reverie_networks() -> list[reverie.Network]:
            return [reverie.Network(name="edges", summary="Edges.", load=torch.nn.Module)]

    found = Registry([("third-party", Plugin)], installed=())
    monkeypatch.setattr(fields, "registry", lambda: found)
    assert "whisper" in fields.preset_input().choices
    network = next(one for one in fields.recipe_inputs() if one.name == "network")
    assert "edges" in network.choices


def test_the_host_keeps_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    from reverie import testing
    from reverie_comfyui import host

    found = Registry([("comfyui", host)], installed=())
    monkeypatch.setattr(testing, "registry", lambda: found)
    check_host(
        "comfyui", torch.rand(2, 31, 45, 3), torch.rand(1, 17, 64, 4), torch.rand(1, 9, 9, 3)
    )


def test_help_pages_and_texts_to_translate_are_up_to_date() -> None:
    again = "run: python -m reverie_comfyui.pages"
    for node in NODES:
        text = (pages.WEB / f"{node.id}.md").read_text("utf-8")
        assert pages.page(node, text) == text, again
    assert json.loads(pages.TEXTS.read_text("utf-8")) == pages.definitions(NODES), again
    assert json.loads(pages.LIST.read_text("utf-8")) == pages.listing(NODES), again


def test_there_is_no_help_page_without_a_node() -> None:
    assert {path.stem for path in Path(pages.WEB).iterdir()} == set(SAVED_ORDER)


@pytest.mark.usefixtures("comfy")
def test_settings_that_came_later_may_be_left_out(image: torch.Tensor) -> None:
    dream = next(node for node in NODES if node.id == "ReverieDream")
    optional = {one.name for one in dream.inputs() if one.is_optional}
    later = {one.name for one in reverie.settings()}
    released = SAVED_ORDER["ReverieDream"].partition("precision")[0].split()
    later -= {*released, "precision"}
    assert {"optimizer", "colour", "anchor", "edges"} <= later <= optional
    required = {one.name: one.default for one in dream.inputs() if not one.is_optional}
    values = {**required, "image": image, "octaves": 1, "steps": 1}
    assert torch.equal(
        dream.run(**values).values[0],
        dream.run(**values, **{name: reverie_default(name) for name in later}).values[0],
    )


def reverie_default(name: str) -> Any:
    return next(one.default for one in reverie.settings() if one.name == name)
