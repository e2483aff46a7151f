"""The pictures of the example workflows in ComfyUI's template browser: dreams on our samples."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from PIL import Image

from graphs import Graph

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from comfy_server import ComfyServer

WIDTH, HEIGHT = 480, 320
LARGEST = 60_000
"""Bytes of a file."""


def _sample(graph: Graph, name: str, width: int = WIDTH, height: int = HEIGHT) -> str:
    loaded = graph.load(f"{name}.png")
    return graph.add(
        "ImageScale",
        image=[loaded, 0],
        upscale_method="area",
        width=width,
        height=height,
        crop="center",
    )


def _simple(graph: Graph) -> str:
    return graph.add("ReverieDream", image=[_sample(graph, "sky"), 0], preset="sightings")


def _masked(graph: Graph) -> str:
    black = graph.add("SolidMask", value=0.0, width=WIDTH, height=HEIGHT)
    white = graph.add("SolidMask", value=1.0, width=WIDTH // 2, height=HEIGHT)
    half = graph.add(
        "MaskComposite", destination=[black, 0], source=[white, 0], x=0, y=0, operation="add"
    )
    photo = _sample(graph, "garden")
    return graph.add("ReverieDream", image=[photo, 0], mask=[half, 0], preset="sightings")


def _guided(graph: Graph) -> str:
    photo, guide = _sample(graph, "mountains"), _sample(graph, "garden")
    return graph.add("ReverieDream", image=[photo, 0], guide=[guide, 0], objective="gazes")


def _regions(graph: Graph) -> str:
    black = graph.add("SolidMask", value=0.0, width=WIDTH, height=HEIGHT)
    white = graph.add("SolidMask", value=1.0, width=WIDTH, height=HEIGHT // 2)
    upper = graph.add(
        "MaskComposite", destination=[black, 0], source=[white, 0], x=0, y=0, operation="add"
    )
    region = graph.add("ReverieRegion", mask=[upper, 0], objective="rings")
    photo = _sample(graph, "mountains")
    linked = {"image": [photo, 0], "regions": [region, 0]}
    return graph.add("ReverieDream", **linked, objective="eyes", preset="vivid")


def _zoom(graph: Graph) -> str:
    photo = _sample(graph, "night", WIDTH // 2, HEIGHT // 2)
    recipe = graph.add("ReverieRecipe", edit=json.dumps({"octaves": 2, "steps": 4}))
    linked = {"image": [photo, 0], "recipe": [recipe, 0]}
    return graph.add("ReverieZoom", **linked, frames=13, fps=4.0, zoom=1.5, rotation=6.0)


def _after_sampler(graph: Graph) -> str:
    return graph.add("ReverieDream", image=[_sample(graph, "night"), 0], preset="eyes")


DREAMS: dict[str, Callable[[Graph], str]] = {
    "simple_dream": _simple,
    "masked_dream": _masked,
    "guided_dream": _guided,
    "regions_dream": _regions,
    "zoom_to_video": _zoom,
    "dream_after_sampler": _after_sampler,
}


def draw(server: ComfyServer, folder: Path) -> None:
    """Dream those that are missing."""
    for name, build in DREAMS.items():
        file = folder / f"{name}.jpg"
        if not file.exists():
            graph = Graph(server.nodes)
            saved = graph.add("SaveImage", images=[build(graph), 0], filename_prefix=name)
            run = server.run(graph.prompt, patience=300)
            assert run.ended == "success", run.error
            count = len(run.shown[saved]["images"])
            save(sheet([server.image(run, saved, number) for number in range(count)]), file)


def sheet(frames: list[Image.Image]) -> Image.Image:
    """Lay the frames of a zoom side by side: the first, the last, and two between them."""
    if len(frames) == 1:
        (only,) = frames
        return only.convert("RGB")
    chosen = [frames[round(k * (len(frames) - 1) / 3)] for k in range(4)]
    paper = Image.new("RGB", (WIDTH, HEIGHT))
    for number, frame in enumerate(chosen):
        paper.paste(frame, (number % 2 * WIDTH // 2, number // 2 * HEIGHT // 2))
    return paper


def save(picture: Image.Image, file: Path) -> None:
    """Save as JPEG, as good as the size allows."""
    for quality in range(90, 30, -5):
        picture.save(file, quality=quality, optimize=True)
        if file.stat().st_size <= LARGEST:
            return
