"""Wrong values: a real server passes on reverie's sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from comfy_server import Refused
from graphs import Graph, simple

if TYPE_CHECKING:
    from comfy_server import ComfyServer


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"network": "embeded"}, "embedded"),
        ({"preset": "vivit"}, "vivid"),
        ({"objective": "eies"}, "eyes"),
        ({"objective": "eyes +"}, "eyes +"),
        ({"carry": "nothing"}, "carry: 'nothing' is not one of detail, picture"),
    ],
)
def test_a_wrong_word_is_answered_with_what_is_allowed(
    server: ComfyServer, wrong: dict[str, Any], sentence: str
) -> None:
    graph, _ = simple(server.nodes, **wrong)
    try:
        said = server.run(graph).error
    except Refused as refused:  # a newer ComfyUI looks at choices itself
        said = refused.sentences
    assert sentence in said


def test_a_number_out_of_range_is_refused_before_anything_runs(server: ComfyServer) -> None:
    graph, _ = simple(server.nodes, octaves=99)
    with pytest.raises(Refused, match="octaves"):
        server.run(graph)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        ('{"octaves": 99}', "octaves: 99 is outside 1..12."),
        ('{"octave": 4}', "octaves"),
        ("octaves: 4", "JSON"),
    ],
)
def test_a_wrong_edit_of_a_recipe_is_named(server: ComfyServer, edit: str, sentence: str) -> None:
    graph = Graph(server.nodes)
    recipe = graph.add("ReverieRecipe", edit=edit)
    graph.add("ReverieSaveRecipe", recipe=[recipe, 0])
    run = server.run(graph.prompt)
    assert run.ended == "error"
    assert sentence in run.error


def test_a_file_that_is_not_there_is_named(server: ComfyServer) -> None:
    graph = Graph(server.nodes)
    recipe = graph.add("ReverieRecipe", file="nowhere.png")
    graph.add("ReverieSaveRecipe", recipe=[recipe, 0])
    run = server.run(graph.prompt)
    assert run.ended == "error"
    assert "nowhere.png" in run.error
