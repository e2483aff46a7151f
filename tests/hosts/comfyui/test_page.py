"""The real page in headless Chromium: it opens the example workflows, runs one, shows the dream."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from chromium import Chromium, find_chromium
from comfy_page import ComfyPage
from example_workflows import FILES, FOLDER, as_graph, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from comfy_server import ComfyServer


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = find_chromium()
    if program is None:
        pytest.skip("needs Chromium, which is not installed")
    opened = Chromium(program, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def page(server: ComfyServer, browser: Chromium) -> ComfyPage:
    return ComfyPage(browser, server)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_page_knows_every_node_and_sends_what_the_file_says(
    page: ComfyPage, server: ComfyServer, file: Path
) -> None:
    page.load(read(file))
    assert page.unknown_nodes() == []
    sent = {key: node["inputs"] for key, node in page.graph().items()}
    expected = as_graph(read(file), server.nodes)
    assert sent == {key: node["inputs"] for key, node in expected.items()}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_page_saves_the_same_values_again(page: ComfyPage, file: Path) -> None:
    page.load(read(file))
    before = {node["id"]: node.get("widgets_values") or [] for node in read(file)["nodes"]}
    after = {node["id"]: node.get("widgets_values") or [] for node in page.saved()["nodes"]}
    assert {key: values[: len(before[key])] for key, values in after.items()} == before


def test_a_dream_grows_inside_its_node(browser: Chromium, page: ComfyPage, tmp_path: Path) -> None:
    workflow = read(FOLDER / "simple_dream.json")
    (dream,) = (node["id"] for node in workflow["nodes"] if node["type"] == "ReverieDream")
    page.load(workflow)
    page.set_value(dream, "steps", 6)
    page.run()
    page.wait_for_preview_in(dream)
    browser.screenshot(tmp_path / "during.png")
    assert page.is_running()
    assert page.wait_for_end() == "success"
    browser.screenshot(tmp_path / "after.png")
    with Image.open(tmp_path / "during.png") as during, Image.open(tmp_path / "after.png") as after:
        assert during.size == after.size
        assert during.tobytes() != after.tobytes()


def test_a_fault_is_shown_with_the_sentence(page: ComfyPage) -> None:
    workflow = read(FOLDER / "simple_dream.json")
    (dream,) = (node["id"] for node in workflow["nodes"] if node["type"] == "ReverieDream")
    page.load(workflow)
    page.set_value(dream, "objective", "eies")
    page.run()
    assert "eyes" in page.wait_for_end()
    assert "eyes" in page.shown_text()


@pytest.mark.usefixtures("page")
def test_templates_are_offered_with_their_pictures(browser: Chromium) -> None:
    for file in FILES:
        address = json.dumps(f"/api/workflow_templates/reverie/{file.stem}.jpg")
        assert browser.evaluate(f"fetch({address}).then((answer) => answer.ok)")
