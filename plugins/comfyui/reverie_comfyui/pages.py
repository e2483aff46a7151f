"""Writes what is read beside the nodes: help pages' tables, texts to translate, a list of nodes.

`python -m reverie_comfyui.pages` after a change of a node; a test says when it is due.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reverie_comfyui.description import Input, Node

WEB = Path(__file__).parents[1] / "web" / "docs"
ROOT = Path(__file__).parents[3]
TEXTS = ROOT / "locales" / "en" / "nodeDefs.json"
LIST = ROOT / "node_list.json"
"""By this the registry and the manager know which pack a workflow's nodes are from; it cannot find
generated classes in the source."""
TABLES = "## Inputs"
"""Here the tables of a help page begin; what stands above is written by hand."""


def page(node: Node, text: str) -> str:
    """Give a help page with its tables as the node is now.

    Args:
        node: the node.
        text: the page as it was.
    """
    above = text.split(TABLES, maxsplit=1)[0].rstrip()
    rows = ["| input | what it does | default |", "|---|---|---|"]
    rows += [f"| **{one.label}** | {_cell(one.help)} | {_default(one)} |" for one in node.inputs()]
    parts = [above, f"{TABLES}\n\n" + "\n".join(rows)]
    if node.outputs:
        rows = ["| output | what it is |", "|---|---|"]
        rows += [f"| **{one.label}** | {_cell(one.help)} |" for one in node.outputs]
        parts.append("## Outputs\n\n" + "\n".join(rows))
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _default(one: Input) -> str:
    if one.default is None:
        return "optional" if one.is_optional else ""
    return "" if one.default == "" else f"`{one.default}`"


def definitions(nodes: tuple[Node, ...]) -> dict[str, Any]:
    """Give all texts of the nodes, as ComfyUI's nodeDefs.json has them."""
    return {
        node.id: {
            "display_name": node.title,
            "description": node.help,
            "inputs": {one.name: {"name": one.label, "tooltip": one.help} for one in node.inputs()},
            "outputs": {
                str(index): {"name": one.label, "tooltip": one.help}
                for index, one in enumerate(node.outputs)
            },
        }
        for node in nodes
    }


def listing(nodes: tuple[Node, ...]) -> dict[str, str]:
    """Give all nodes by their ids, with their help."""
    return {node.id: node.help for node in nodes}


def as_json(found: Mapping[str, Any]) -> str:
    """Write it down for people, too."""
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all of it."""
    from reverie_comfyui.nodes import NODES

    for node in NODES:
        path = WEB / f"{node.id}.md"
        path.write_text(page(node, path.read_text("utf-8")), "utf-8")
    TEXTS.parent.mkdir(parents=True, exist_ok=True)
    TEXTS.write_text(as_json(definitions(NODES)), "utf-8")
    LIST.write_text(as_json(listing(NODES)), "utf-8")


if __name__ == "__main__":
    main()
