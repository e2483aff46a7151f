"""The example workflows, as graphs; make_workflows.py draws them in the real page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphs import Graph

if TYPE_CHECKING:
    from collections.abc import Callable

SKY = 0x5E94FF
"""The blue of the sky in example.png, which every ComfyUI has."""


@dataclass(frozen=True)
class Example:
    """One workflow."""

    name: str
    build: Callable[[dict[str, Any]], tuple[Graph, list[list[str]]]]
    """Gives the graph, and its nodes in columns from left to right."""
    note: str
    """What the note beside the nodes says."""


def _simple(nodes: dict[str, Any]) -> tuple[Graph, list[list[str]]]:
    graph = Graph(nodes)
    photo = graph.load("example.png")
    dream = graph.add("ReverieDream", image=[photo, 0])
    return graph, [[photo], [dream], [graph.save(dream)]]


def _masked(nodes: dict[str, Any]) -> tuple[Graph, list[list[str]]]:
    graph = Graph(nodes)
    photo = graph.load("example.png")
    mask = graph.add("ImageColorToMask", image=[photo, 0], color=SKY)
    dream = graph.add("ReverieDream", image=[photo, 0], mask=[mask, 0], preset="sightings")
    return graph, [[photo], [mask], [dream], [graph.save(dream)]]


def _guided(nodes: dict[str, Any]) -> tuple[Graph, list[list[str]]]:
    graph = Graph(nodes)
    photo = graph.load("example.png")
    face = graph.add("ImageCrop", image=[photo, 0], x=300, y=190, width=180, height=120)
    dream = graph.add("ReverieDream", image=[photo, 0], guide=[face, 0], objective="gazes")
    return graph, [[photo], [face], [dream], [graph.save(dream)]]


def _regions(nodes: dict[str, Any]) -> tuple[Graph, list[list[str]]]:
    graph = Graph(nodes)
    photo = graph.load("example.png")
    sky = graph.add("ImageColorToMask", image=[photo, 0], color=SKY)
    ground = graph.add("InvertMask", mask=[sky, 0])
    rings = graph.add("ReverieRegion", mask=[sky, 0], objective="rings")
    eyes = graph.add("ReverieRegion", mask=[ground, 0], objective="eyes", regions=[rings, 0])
    dream = graph.add("ReverieDream", image=[photo, 0], regions=[eyes, 0])
    return graph, [[photo], [sky, ground], [rings, eyes], [dream], [graph.save(dream)]]


def _zoom(nodes: dict[str, Any]) -> tuple[Graph, list[list[str]]]:
    graph = Graph(nodes)
    photo = graph.load("example.png")
    small = graph.add(
        "ImageScale",
        image=[photo, 0],
        upscale_method="area",
        width=384,
        height=384,
        crop="disabled",
    )
    edit = json.dumps({"octaves": 2, "steps": 3, "step_size": 0.8})
    recipe = graph.add("ReverieRecipe", preset="none", edit=edit)
    rate = graph.add("PrimitiveFloat", value=24.0)
    zoom = graph.add(
        "ReverieZoom",
        image=[small, 0],
        recipe=[recipe, 0],
        fps=[rate, 0],
        frames=48,
        zoom=1.5,
        rotation=6.0,
    )
    video = graph.add("CreateVideo", images=[zoom, 0], fps=[rate, 0])
    saved = graph.add("SaveVideo", video=[video, 0], filename_prefix="reverie/zoom")
    return graph, [[photo], [small, recipe, rate], [zoom], [video], [saved]]


def _after_sampler(nodes: dict[str, Any]) -> tuple[Graph, list[list[str]]]:
    graph = Graph(nodes)
    checkpoint = graph.add(
        "CheckpointLoaderSimple", ckpt_name="v1-5-pruned-emaonly-fp16.safetensors"
    )
    positive = graph.add(
        "CLIPTextEncode", clip=[checkpoint, 1], text="a quiet forest, morning fog, photograph"
    )
    negative = graph.add("CLIPTextEncode", clip=[checkpoint, 1], text="text, watermark")
    latent = graph.add("EmptyLatentImage", width=512, height=512, batch_size=1)
    sampled = graph.add(
        "KSampler",
        model=[checkpoint, 0],
        positive=[positive, 0],
        negative=[negative, 0],
        latent_image=[latent, 0],
        sampler_name="euler",
        scheduler="normal",
    )
    image = graph.add("VAEDecode", samples=[sampled, 0], vae=[checkpoint, 2])
    dream = graph.add("ReverieDream", image=[image, 0])
    columns = [[checkpoint, latent], [positive, negative], [sampled], [image], [dream]]
    return graph, [*columns, [graph.save(dream)]]


EXAMPLES = (
    Example(
        "simple_dream",
        _simple,
        "**Simple dream**\n\nChoose a picture and press Run. The dream grows in Reverie Dream.\n\n"
        "More octaves give larger creatures, more steps a stronger dream. Try the objectives "
        "`eyes`, `gazes` and `creatures`, or a preset.\n\nThe saved PNG carries its recipe.",
    ),
    Example(
        "masked_dream",
        _masked,
        "**Masked dream**\n\nOnly where the mask is white, the picture dreams; the rest stays as "
        "it is. Here the mask is the blue sky.\n\nFor a photo, open it in the mask editor, paint, "
        "and link the MASK of Load Image instead.",
    ),
    Example(
        "guided_dream",
        _guided,
        "**Guided dream**\n\nThe guide shows what should appear: its features are looked for "
        "everywhere in the picture. Here it is the face, cut out of the same picture.\n\n"
        "The objective names the layer that looks.",
    ),
    Example(
        "regions_dream",
        _regions,
        "**Regions**\n\nOther objectives in other places of one dream: rings in the blue sky, eyes "
        "everywhere else. Each Reverie Region is a mask and an objective; link them in a chain.\n\n"
        "Where no mask is white, the objective of Reverie Dream is climbed. Soft masks blend.",
    ),
    Example(
        "zoom_to_video",
        _zoom,
        "**Zoom to video**\n\nEvery frame is the one before, moved a little and dreamed again. "
        "Zoom, rotation and shift are given for a second, so that the motion stays the same at "
        "any frame rate.\n\nThe recipe holds few and small steps: each frame adds to the dream.",
    ),
    Example(
        "dream_after_sampler",
        _after_sampler,
        "**Dream after a sampler**\n\nA picture from a diffusion model is dreamed on. Choose a "
        "checkpoint that you have.",
    ),
)
