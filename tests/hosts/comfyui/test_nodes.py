"""What a real server says about the nodes."""

from __future__ import annotations

import re
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from comfy_server import ComfyServer

NODES = {
    "ReverieDream",
    "ReverieNetwork",
    "ReverieObjective",
    "ReverieRecipe",
    "ReverieRegion",
    "ReverieSaveRecipe",
    "ReverieSave",
    "ReverieZoom",
}
HIDDEN = "hidden"


def test_every_node_is_there_under_one_category(server: ComfyServer) -> None:
    ours = {name: node for name, node in server.nodes.items() if name.startswith("Reverie")}
    assert set(ours) == NODES
    assert {node["category"] for node in ours.values()} == {"reverie"}
    assert all(node["description"] for node in ours.values())


@pytest.mark.parametrize("name", sorted(NODES))
def test_every_input_and_output_has_a_tooltip(server: ComfyServer, name: str) -> None:
    node: dict[str, Any] = server.nodes[name]
    for part, inputs in node["input"].items():
        if part != HIDDEN:
            assert all(given[1]["tooltip"] for given in inputs.values())
    assert len(node["output"]) == len(node.get("output_tooltips") or [])
    assert all(node.get("output_tooltips") or [])


@pytest.mark.parametrize("name", sorted(NODES))
def test_every_node_has_a_help_page(server: ComfyServer, name: str) -> None:
    address = f"{server.address}/extensions/reverie/docs/{name}.md"
    with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310 - loopback
        assert len(answer.read()) > 200


def test_the_pack_is_imported_within_a_tenth_of_a_second(server: ComfyServer) -> None:
    said = server.log.read_text("utf-8", "replace")
    found = re.search(r"([\d.]+) seconds: \S*/custom_nodes/reverie\n", said)
    assert found
    assert float(found[1]) <= 0.1


def test_example_workflows_are_offered(server: ComfyServer) -> None:
    offered = server.get("/workflow_templates")["reverie"]
    assert "simple_dream" in offered
