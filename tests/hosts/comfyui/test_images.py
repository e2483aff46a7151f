"""Batches, lists, masks and alpha, through a real server; and the same pixels as elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from graphs import LITTLE, Graph, simple
from reverie.record import read_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from comfy_server import ComfyServer, Pixels


def run_and_open(server: ComfyServer, graph: Graph, saved: str) -> list[Pixels]:
    run = server.run(graph.prompt)
    assert run.ended == "success", run.error
    count = len(run.shown[saved]["images"])
    return [server.pixels(run, saved, number) for number in range(count)]


def photo(server: ComfyServer) -> Pixels:
    with Image.open(server.base / "input" / "photo.png") as picture:
        return np.asarray(picture)


def box_mask(graph: Graph, *, width: int, height: int, value: float = 1.0) -> str:
    """Mask the left half of a picture, with a size of the mask's own."""
    black = graph.add("SolidMask", value=0.0, width=width, height=height)
    white = graph.add("SolidMask", value=value, width=width // 2, height=height)
    return graph.add(
        "MaskComposite", destination=[black, 0], source=[white, 0], x=0, y=0, operation="add"
    )


@pytest.mark.parametrize(("width", "height"), [(192, 128), (96, 64)])
def test_only_what_the_mask_covers_dreams(server: ComfyServer, width: int, height: int) -> None:
    graph = Graph(server.nodes)
    mask = box_mask(graph, width=width, height=height)
    saved = graph.save(graph.dream([graph.load(), 0], mask=[mask, 0]))
    (dreamed,) = run_and_open(server, graph, saved)
    original = photo(server)
    assert np.array_equal(dreamed[:, 100:], original[:, 100:])
    assert (dreamed[:, :90] != original[:, :90]).any()


def test_an_empty_mask_leaves_the_picture_alone(server: ComfyServer) -> None:
    graph = Graph(server.nodes)
    loaded = graph.load()  # its mask is 64 x 64 zeros, because the file has no alpha
    saved = graph.save(graph.dream([loaded, 0], mask=[loaded, 1]))
    (dreamed,) = run_and_open(server, graph, saved)
    assert np.array_equal(dreamed, photo(server))


def test_each_picture_of_a_batch_dreams_as_it_does_alone(server: ComfyServer) -> None:
    graph = Graph(server.nodes)
    loaded = graph.load()
    other = graph.add("ImageInvert", image=[loaded, 0])
    both = graph.add("ImageBatch", image1=[loaded, 0], image2=[other, 0])
    together = graph.save(graph.dream([both, 0]))
    alone = [graph.save(graph.dream([one, 0])) for one in (loaded, other)]
    run = server.run(graph.prompt)
    assert run.ended == "success", run.error
    assert len(run.shown[together]["images"]) == 2
    for number, one in enumerate(alone):
        assert np.array_equal(server.pixels(run, together, number), server.pixels(run, one))


def test_a_list_of_pictures_is_dreamed_one_by_one(server: ComfyServer) -> None:
    graph = Graph(server.nodes)
    batch = graph.add("RepeatImageBatch", image=[graph.load(), 0], amount=2)
    listed = graph.add("RebatchImages", images=[batch, 0], batch_size=1)
    saved = graph.save(graph.dream([listed, 0]))
    dreamed = run_and_open(server, graph, saved)
    assert len(dreamed) == 2
    assert np.array_equal(dreamed[0], dreamed[1])
    assert not np.array_equal(dreamed[0], photo(server))


def test_alpha_passes_through(server: ComfyServer) -> None:
    graph = Graph(server.nodes)
    mask = box_mask(graph, width=192, height=128, value=0.4)
    joined = graph.add("JoinImageWithAlpha", image=[graph.load(), 0], alpha=[mask, 0])
    with_alpha = graph.save(graph.dream([joined, 0]))
    untouched = graph.add("SaveImage", images=[joined, 0], filename_prefix="untouched")
    run = server.run(graph.prompt)
    assert run.ended == "success", run.error
    dreamed = server.pixels(run, with_alpha)
    before = server.pixels(run, untouched)
    assert dreamed.shape == (128, 192, 4)
    # Save Image rounds down
    assert np.abs(dreamed[..., 3].astype(int) - before[..., 3]).max() <= 1
    assert len(np.unique(dreamed[..., 3])) == 2
    without = Graph(server.nodes)
    (opaque,) = run_and_open(server, without, without.save(without.dream([without.load(), 0])))
    assert np.array_equal(dreamed[..., :3], opaque)


def test_the_command_line_dreams_the_same_pixels(server: ComfyServer, tmp_path: Path) -> None:
    prompt, saved = simple(server.nodes, objective="eyes - 0.5*channel(rings, 12)", seed=7)
    run = server.run(prompt)
    assert run.ended == "success", run.error
    recipe, output = tmp_path / "recipe.json", tmp_path / "out.png"
    changes = {**LITTLE, "objective": "eyes - 0.5*channel(rings, 12)", "seed": 7}
    recipe.write_text(json.dumps(changes))
    words: list[str | Path] = ["dream", server.base / "input" / "photo.png"]
    words += ["--recipe", recipe, "-o", output, "--device", "cpu"]
    subprocess.run([sys.executable, "-m", "reverie", *words], check=True)
    with Image.open(output) as expected:
        assert np.array_equal(server.pixels(run, saved), np.asarray(expected))


def test_a_saved_picture_carries_recipe_and_workflow(server: ComfyServer) -> None:
    prompt, saved = simple(server.nodes, objective="gazes", seed=8)
    run = server.run(prompt)
    found = read_recipe(server.file(run, saved))
    assert found.recipe.objective == 'layer("gazes")'
    assert found.recipe.seed == 8
    kept = json.loads(server.image(run, saved).info["prompt"])
    assert {key: node["inputs"] for key, node in kept.items()} == {
        key: node["inputs"] for key, node in prompt.items()
    }


def test_a_guide_steers_the_dream(server: ComfyServer) -> None:
    graph = Graph(server.nodes)
    loaded = graph.load()
    guide = graph.add("ImageCrop", image=[loaded, 0], width=64, height=64, x=0, y=0)
    guided = graph.save(graph.dream([loaded, 0], guide=[guide, 0], objective="eyes"))
    free = graph.save(graph.dream([loaded, 0], objective="eyes"))
    run = server.run(graph.prompt)
    assert run.ended == "success", run.error
    assert not np.array_equal(server.pixels(run, guided), server.pixels(run, free))


def test_objective_network_and_recipe_nodes_say_what_the_fields_would(server: ComfyServer) -> None:
    graph = Graph(server.nodes)
    photo_node = graph.load()
    network = graph.add("ReverieNetwork", network="embedded")
    eyes = graph.add("ReverieObjective", kind="layer", layer="eyes")
    term = graph.add(
        "ReverieObjective", kind="channel", layer="rings", channel=12, weight=-0.5, add_to=[eyes, 0]
    )
    linked = {"reverie_network": [network, 0], "reverie_objective": [term, 0]}
    by_nodes = graph.save(graph.dream([photo_node, 0], **linked))
    recipe = graph.add("ReverieRecipe", edit=json.dumps(LITTLE))
    by_recipe = graph.save(
        graph.add("ReverieDream", image=[photo_node, 0], recipe=[recipe, 0], **linked)
    )
    by_fields = graph.save(graph.dream([photo_node, 0], objective="eyes - 0.5*channel(rings, 12)"))
    run = server.run(graph.prompt)
    assert run.ended == "success", run.error
    assert np.array_equal(server.pixels(run, by_nodes), server.pixels(run, by_fields))
    assert np.array_equal(server.pixels(run, by_recipe), server.pixels(run, by_fields))


def test_a_zoom_gives_the_frames_it_was_asked_for(server: ComfyServer) -> None:
    graph = Graph(server.nodes)
    recipe = graph.add("ReverieRecipe", edit=json.dumps(LITTLE))
    zoom = graph.add("ReverieZoom", image=[graph.load(), 0], frames=3, recipe=[recipe, 0])
    saved = graph.save(zoom)
    frames = run_and_open(server, graph, saved)
    assert len(frames) == 3
    assert not np.array_equal(frames[1], frames[2])
