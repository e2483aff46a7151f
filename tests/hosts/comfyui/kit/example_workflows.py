"""Workflow files as the page saves them, read as the page reads them: values by position."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[4] / "example_workflows"
FILES = sorted(FOLDER.glob("*.json"))
WIDGETS = {"INT", "FLOAT", "BOOLEAN", "STRING", "COMBO"}
ONLY_IN_THE_PAGE = {"MarkdownNote"}
"""Nodes that the server does not know."""


def read(file: Path) -> dict[str, Any]:
    """Read a workflow."""
    workflow: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return workflow


def nodes_of(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    """List the nodes that the server runs."""
    return [one for one in workflow["nodes"] if one["type"] not in ONLY_IN_THE_PAGE]


def widgets(inputs: dict[str, Any]) -> list[str | None]:
    """Name the widgets of a node in the page's order; None is one that the server never sees.

    Args:
        inputs: as `INPUT_TYPES` gives them, or the "input" of /object_info.
    """
    names: list[str | None] = []
    for part in ("required", "optional"):
        for name, given in inputs.get(part, {}).items():
            if not isinstance(given[0], list) and given[0] not in WIDGETS:
                continue
            names.append(name)
            options = given[1] if len(given) > 1 else {}
            if options.get("control_after_generate") or options.get("image_upload"):
                names.append(None)
    return names


def as_graph(workflow: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Turn a workflow into the API's form, as the page does.

    Args:
        workflow: as the page saves it.
        known: what /object_info says.
    """
    links = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    graph = {}
    for node in nodes_of(workflow):
        described = known[node["type"]]["input"]
        names = widgets(described)
        values = node.get("widgets_values", [])
        # A file that is older than a setting lacks it at the end; the page takes its default.
        later = [described["optional"][name][1]["default"] for name in names[len(values) :]]
        inputs = {key: value for key, value in zip(names, values + later, strict=True) if key}
        for one in node["inputs"]:
            if one["link"] is not None:
                inputs[one["name"]] = links[one["link"]]
        graph[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return graph
