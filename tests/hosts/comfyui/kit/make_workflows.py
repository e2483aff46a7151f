"""Draw the example workflows in the real page and save them, with their thumbnails.

    python tests/hosts/comfyui/kit/make_workflows.py COMFYUI PYTHON

Released workflows are opened by people with later releases, so a file that is there already is
left alone; delete it first to have it made anew.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

import pack
import reverie
from chromium import Chromium, find_chromium
from comfy_page import ComfyPage
from comfy_server import ComfyServer
from example_graphs import EXAMPLES
from example_workflows import FOLDER
from thumbnails import draw

if TYPE_CHECKING:
    from example_graphs import Example

ARRANGE = """
((columns, sizes, note) => {
  let x = 40;
  for (const column of columns) {
    let y = 80, widest = 0;
    for (const id of column) {
      const node = app.graph.getNodeById(id);
      const fits = node.computeSize();
      const [width, height] = sizes[node.type] ?? [0, 0];
      node.setSize([Math.max(fits[0], width, 260), Math.max(fits[1], height)]);
      node.pos = [x, y];
      y += Math.ceil(node.size[1] / 10) * 10 + 70;
      widest = Math.max(widest, node.size[0]);
      for (const widget of node.widgets ?? [])
        if (widget.name === 'control_after_generate') widget.value = 'fixed';
    }
    x += Math.ceil(widest / 10) * 10 + 60;
  }
  const paper = LiteGraph.createNode('MarkdownNote');
  app.graph.add(paper);
  paper.pos = [x, 80];
  paper.setSize([320, 240]);
  paper.widgets[0].value = note;
})
"""
SIZES = {
    "LoadImage": [300, 340],
    "ReverieDream": [320, 860],
    "ReverieZoom": [320, 640],
    "ReverieSave": [340, 420],
    "SaveVideo": [340, 450],
    "CLIPTextEncode": [320, 160],
    "ReverieRecipe": [300, 240],
}


def make(example: Example, page: ComfyPage, browser: Chromium, server: ComfyServer) -> None:
    """Draw one and save it."""
    graph, columns = example.build(server.nodes)
    page.load_graph(graph.prompt)
    numbers = [[int(node) for node in column] for column in columns]
    words = ", ".join(json.dumps(value) for value in (numbers, SIZES, example.note))
    browser.evaluate(f"{ARRANGE}({words})")
    workflow = plain(page.saved())
    text = json.dumps(workflow, indent=1, ensure_ascii=False) + "\n"
    (FOLDER / f"{example.name}.json").write_text(text, "utf-8")


def plain(workflow: dict[str, Any]) -> dict[str, Any]:
    """Take away what differs from one time to another."""
    workflow["extra"] = {"ds": {"scale": 0.8, "offset": [60, 40]}}
    for node in workflow["nodes"]:
        node["pos"] = [round(value) for value in node["pos"]]
        node["size"] = [round(value) for value in node["size"]]
    return workflow


def main(program: str, python: str) -> None:
    """Make what is missing."""
    FOLDER.mkdir(exist_ok=True)
    missing = [one for one in EXAMPLES if not (FOLDER / f"{one.name}.json").exists()]
    browser_program = find_chromium()
    if browser_program is None:
        raise SystemExit("Chromium is not installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        base = Path(folder, "base")
        pack.clone(base)
        samples = Path(reverie.__file__).parent / "samples"
        (base / "input").mkdir()
        for sample in samples.glob("*.jpg"):
            with Image.open(sample) as picture:
                picture.convert("RGB").save(base / "input" / f"{sample.stem}.png")
        server = ComfyServer(Path(program), python, base)
        browser = Chromium(browser_program, Path(folder, "profile"))
        try:
            page = ComfyPage(browser, server)
            for one in missing:
                make(one, page, browser, server)
            draw(server, FOLDER)
        finally:
            browser.close()
            server.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
