"""Progress, previews, Interrupt, the cache and the memory, in a real server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from comfy_server import Watch
from graphs import Graph, simple

if TYPE_CHECKING:
    from comfy_server import ComfyServer


def test_the_bar_counts_every_step(server: ComfyServer) -> None:
    graph, _ = simple(server.nodes, seed=1, octaves=2, steps=5)
    run = server.run(graph)
    assert run.ended == "success", run.error
    assert run.steps == [(n, 10) for n in range(1, 11)]


def test_previews_come_soon_are_small_and_at_most_five_a_second(server: ComfyServer) -> None:
    graph = Graph(server.nodes)
    large = graph.add(
        "ImageScale",
        image=[graph.load(), 0],
        upscale_method="bilinear",
        width=768,
        height=512,
        crop="disabled",
    )
    graph.save(graph.dream([large, 0], seed=2, octaves=3, steps=6))
    run = server.run(graph.prompt)
    times = [preview.after for preview in run.previews]
    assert len(times) >= 2
    assert max(max(preview.size) for preview in run.previews) == 512
    assert run.previews[-1].size == (512, 341)  # the whole picture stays in the node
    assert times[0] < run.seconds / 2
    # the first and the last one come in any case
    assert len(times) <= 2 + 5 * (times[-1] - times[0])


def test_interrupt_ends_a_dream_within_a_second(server: ComfyServer) -> None:
    graph, _ = simple(server.nodes, seed=3, steps=1000)
    watch = Watch(server, graph)
    while not watch.run.steps:
        watch.next(60)
    pressed = time.monotonic()
    server.post("/interrupt", {})
    run = watch.to_the_end()
    while not server.is_idle():
        time.sleep(0.01)
    assert run.ended == "interrupted"
    assert time.monotonic() - pressed < 1
    assert server.run(simple(server.nodes, seed=3)[0]).ended == "success"


def test_a_dream_that_is_known_is_not_dreamed_again(server: ComfyServer) -> None:
    graph, _ = simple(server.nodes, seed=4)
    first, second = server.run(graph), server.run(graph)
    assert first.executed
    assert second.ended == "success"
    assert second.executed == []
    assert set(second.cached) == set(graph)


def test_after_the_memory_was_freed_the_pixels_are_the_same(server: ComfyServer) -> None:
    graph, saved = simple(server.nodes, seed=5)
    before = server.run(graph)
    server.free()
    after = server.run(graph)
    assert set(after.executed) == set(graph)  # nothing was kept
    assert np.array_equal(server.pixels(before, saved), server.pixels(after, saved))


def test_the_same_dream_twice_in_a_graph_is_dreamed_once(server: ComfyServer) -> None:
    graph = Graph(server.nodes)
    photo = graph.load()
    for _ in range(2):
        graph.save(graph.dream([photo, 0], seed=6))
    run = server.run(graph.prompt)
    assert len(run.steps) <= 2 * 6
