"""Graphs for tests, in the form that ComfyUI's API takes."""

from __future__ import annotations

from typing import Any

LITTLE = {"octaves": 2, "steps": 3, "jitter": 4, "precision": "float32"}
"""What tests dream: enough to change a picture."""


class Graph:
    """Nodes and their links; widgets that are not set get their defaults.

    Args:
        nodes: what the server says of its nodes, as /object_info does.
    """

    def __init__(self, nodes: dict[str, Any]) -> None:
        self._nodes = nodes
        self.prompt: dict[str, Any] = {}

    def add(self, node: str, /, **inputs: Any) -> str:
        """Add a node; a link is `[node, number of the output]`. Gives the node's id."""
        values = {
            name: given[1]["default"]
            for name, given in self._nodes[node]["input"].get("required", {}).items()
            if len(given) > 1 and "default" in given[1]
        }
        number = str(len(self.prompt) + 1)
        self.prompt[number] = {"class_type": node, "inputs": {**values, **inputs}}
        return number

    def load(self, file: str = "photo.png") -> str:
        """Load a picture from the input folder."""
        return self.add("LoadImage", image=file)

    def dream(self, image: list[Any], **inputs: Any) -> str:
        """Dream a little on an image."""
        return self.add("ReverieDream", image=image, **{**LITTLE, **inputs})

    def save(self, dream: str) -> str:
        """Save what a node dreamed, with its recipe."""
        return self.add("ReverieSave", image=[dream, 0], recipe=[dream, 1])


def simple(nodes: dict[str, Any], **inputs: Any) -> tuple[dict[str, Any], str]:
    """Load, dream, save; gives the graph, and the id of the node that saves."""
    graph = Graph(nodes)
    saved = graph.save(graph.dream([graph.load(), 0], **inputs))
    return graph.prompt, saved
