"""Both ways of installation and both ways of registration give the same pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import pack
from graphs import simple

if TYPE_CHECKING:
    from collections.abc import Callable

    from comfy_server import ComfyServer


@pytest.mark.parametrize(
    ("put", "extra"),
    [(pack.install, {}), (pack.clone, {"REVERIE_COMFYUI_API": "v1"})],
    ids=["reverie install", "V1"],
)
def test_another_route_has_the_same_nodes_and_pixels(
    server: ComfyServer,
    other_server: Callable[..., ComfyServer],
    put: Callable[..., Any],
    extra: dict[str, str],
) -> None:
    other = other_server(put, extra)
    graph, saved = simple(server.nodes, seed=9, objective="gazes")
    for name, node in server.nodes.items():
        if name.startswith("Reverie"):
            assert other.nodes[name]["input_order"] == node["input_order"]
            assert other.nodes[name]["output"] == node["output"]
    assert other.get("/workflow_templates") == server.get("/workflow_templates")
    first, second = server.run(graph), other.run(graph)
    assert second.ended == "success", second.error
    assert len(second.steps) == 6
    assert second.previews
    assert np.array_equal(server.pixels(first, saved), other.pixels(second, saved))
