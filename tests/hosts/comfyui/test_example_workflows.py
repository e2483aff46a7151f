"""Every example workflow runs in a real server, with fewer steps than it has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from comfy_server import Refused
from example_workflows import FILES, FOLDER, as_graph, nodes_of, read

if TYPE_CHECKING:
    from pathlib import Path

    from comfy_server import ComfyServer

NEEDS_A_MODEL = FOLDER / "dream_after_sampler.json"
QUICK = {"octaves": 2, "steps": 2, "size": 192}


def quickened(graph: dict[str, Any]) -> dict[str, Any]:
    for node in graph.values():
        inputs = node["inputs"]
        if node["class_type"] == "ReverieDream":
            inputs |= QUICK
        if node["class_type"] == "ReverieRecipe":
            inputs["edit"] = json.dumps(QUICK)
        if node["class_type"] == "ReverieZoom":
            inputs["frames"] = 3
    return graph


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_node_of_a_workflow_is_known(server: ComfyServer, file: Path) -> None:
    kinds = {node["type"] for node in nodes_of(read(file))}
    assert kinds <= set(server.nodes)
    packs = {server.nodes[kind]["python_module"] for kind in kinds}
    others = {name for name in packs if name.startswith("custom_nodes.")}
    assert others == {"custom_nodes.reverie"}  # beside ours, only what every ComfyUI has


@pytest.mark.parametrize(
    "file", [file for file in FILES if file != NEEDS_A_MODEL], ids=lambda file: file.stem
)
def test_a_workflow_runs_and_saves(server: ComfyServer, file: Path) -> None:
    run = server.run(quickened(as_graph(read(file), server.nodes)))
    assert run.ended == "success", run.error
    assert run.steps
    assert run.previews
    (shown,) = run.shown.values()
    (saved,) = shown["images"]
    assert (server.base / "output" / saved["subfolder"] / saved["filename"]).stat().st_size > 1000


def test_the_one_that_needs_a_model_lacks_only_that(server: ComfyServer) -> None:
    graph = as_graph(read(NEEDS_A_MODEL), server.nodes)
    with pytest.raises(Refused) as refused:
        server.run(graph)
    faults = refused.value.sentences.splitlines()
    assert [fault for fault in faults if "ckpt_name" not in fault] == [
        "Prompt outputs failed validation",
        "",
    ]
