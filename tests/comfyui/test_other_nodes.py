"""Network, objective, recipe, and the two that save."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import reverie
from reverie.networks.weights import weights_folders
from reverie.picture import read_picture
from reverie.record import Record, read_recipe
from reverie_comfyui import weights
from reverie_comfyui.nodes.dream import DREAM
from reverie_comfyui.nodes.network import NETWORK_NODE
from reverie_comfyui.nodes.objective import OBJECTIVE_NODE, make
from reverie_comfyui.nodes.recipe import RECIPE_NODE
from reverie_comfyui.nodes.save_image import SAVE_IMAGE
from reverie_comfyui.nodes.save_recipe import SAVE_RECIPE


def objective(**values: Any) -> str:
    given = {"layer": "eyes", "channel": 7, "x": 0.5, "y": 0.25}
    made = OBJECTIVE_NODE.run(**{**given, **values}).values[0]
    assert isinstance(made, str)
    return made


@pytest.mark.usefixtures("comfy")
def test_the_network_node_lists_layers_in_their_order() -> None:
    name, layers = NETWORK_NODE.run(network="embedded", weights_file="none").values
    assert name == "embedded"
    names = layers.split("\n")
    assert names.index("outlines") < names.index("eyes") < names.index("creatures")


@pytest.mark.usefixtures("comfy")
def test_the_network_node_lists_layers_of_what_was_never_downloaded() -> None:
    name, layers = NETWORK_NODE.run(network="googlenet").values
    assert name == "googlenet"
    assert "inception4c" in layers.split("\n")


@pytest.mark.usefixtures("comfy")
def test_a_network_of_no_known_name_is_answered_with_a_sentence() -> None:
    with pytest.raises(reverie.ReverieError, match="there is no network 'embeded'; did you mean"):
        NETWORK_NODE.run(network="embeded")


def test_weights_of_ones_own_lie_in_the_models_folder(comfy: Any) -> None:
    own = comfy.base / "models/reverie/mine.safetensors"
    own.write_bytes(
        Path(reverie.__file__)
        .with_name("networks")
        .joinpath("embedded/embedded.safetensors")
        .read_bytes()
    )
    (comfy.base / "models/reverie/notes.txt").write_text("", "utf-8")
    choices = next(one for one in NETWORK_NODE.inputs() if one.name == "weights_file").choices
    assert choices == ("none", "mine.safetensors")
    before = NETWORK_NODE.fingerprint
    assert before is not None
    assert before(network="embedded", weights_file="mine.safetensors").startswith("embedded:mine")
    with pytest.raises(reverie.WeightsError, match=r"'gone\.pth' is not in"):
        NETWORK_NODE.run(network="embedded", weights_file="gone.pth")


def test_downloads_go_to_the_models_folder(comfy: Any) -> None:
    weights.register_folder()  # once more changes nothing
    assert weights_folders()[0] == comfy.base / "models/reverie"
    assert len(weights_folders()) == 2


def test_a_folder_that_the_user_named_stays_first(
    comfy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVERIE_WEIGHTS", str(comfy.base / "own"))
    weights.register_folder()
    assert weights_folders()[:2] == (comfy.base / "own", comfy.base / "models/reverie")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"kind": "layer"}, 'layer("eyes")'),
        ({"kind": "channel"}, 'channel("eyes", 7)'),
        ({"kind": "neuron"}, 'neuron("eyes", 7, y=0.25)'),
        ({"kind": "guide"}, 'guide("eyes")'),
        ({"kind": "strongest", "channel": 9}, 'strongest("eyes")'),
        ({"kind": "channels", "channel": 9}, 'channels("eyes", 9)'),
        ({"kind": "l2", "weight": -2.0}, "-2.0*l2()"),
        ({"kind": "total_variation", "weight": -100.0}, "-100.0*total_variation()"),
        ({"kind": "layer", "weight": 0.5}, '0.5*layer("eyes")'),
        ({"kind": "layer", "weight": -1.0}, '-layer("eyes")'),
        ({"kind": "layer", "add_to": "rings"}, 'layer("rings") + layer("eyes")'),
        (
            {"kind": "channel", "weight": -0.5, "add_to": 'layer("rings")'},
            'layer("rings") - 0.5*channel("eyes", 7)',
        ),
        (
            {"kind": "expression", "expression": "eyes + rings", "weight": 2.0},
            '2.0*(layer("eyes") + layer("rings"))',
        ),
    ],
)
def test_terms_become_the_text_that_one_would_write(values: dict[str, Any], text: str) -> None:
    made = objective(**values)
    assert made == text
    assert reverie.Recipe(objective=made).objective == text


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"kind": "expression", "expression": " "}, "expression: it is empty; write"),
        ({"kind": "expression", "expression": "eyes +"}, "'the end' where a layer"),
        ({"kind": "chanel"}, "there is no objective 'chanel'; did you mean 'channel'"),
    ],
)
def test_a_wrong_term_is_answered_with_a_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(reverie.ReverieError) as error:
        objective(**values)
    assert sentence in str(error.value)


def test_a_plug_ins_objective_gets_the_layer_and_the_channel() -> None:
    @reverie.objective("Two features against each other.")
    def versus(first: str, index: int, strength: float = 1.0) -> reverie.Objective:
        return reverie.Objective(
            frozenset({first}), lambda a: strength * a[first][:, index].mean(dim=(1, 2))
        )

    assert make(versus, {"layer": "eyes", "channel": 3}).text == 'versus("eyes", 3)'


def test_a_plug_ins_objective_that_needs_more_points_to_the_expression() -> None:
    @reverie.objective("Two layers.")
    def both(first: str, second: str) -> reverie.Objective:
        raise AssertionError(first + second)

    with pytest.raises(reverie.ObjectiveError, match=r"needs 'second'.*write both\(\.\.\.\)"):
        make(both, {"layer": "eyes", "channel": 3})


@pytest.mark.usefixtures("comfy")
def test_a_recipe_comes_from_a_preset_and_is_edited() -> None:
    record, text = RECIPE_NODE.run(preset="vivid", edit='{"steps": 3}').values
    assert record.recipe == reverie.registry().presets()["vivid"].recipe.evolve(steps=3)
    assert reverie.Recipe.from_json(text) == record.recipe


def test_a_recipe_comes_from_a_file_in_the_input_folder(comfy: Any) -> None:
    (comfy.base / "input/mine.json").write_text('{"octaves": 7}', "utf-8")
    assert RECIPE_NODE.run(file="mine.json").values[0].recipe == reverie.Recipe(octaves=7)
    linked = Record(reverie.Recipe(octaves=2))
    assert RECIPE_NODE.run(file="mine.json", recipe=linked).values[0] == linked
    assert RECIPE_NODE.fingerprint is not None
    before = RECIPE_NODE.fingerprint(preset="none", file="mine.json", edit="")
    (comfy.base / "input/mine.json").write_text('{"octaves": 10}', "utf-8")
    assert RECIPE_NODE.fingerprint(preset="none", file="mine.json", edit="") != before
    assert RECIPE_NODE.fingerprint(preset="none", file="", edit="") == ""


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"file": "gone.json"}, "file: there is no 'gone.json' in "),
        ({"edit": "{octaves: 6}"}, "edit: this is not JSON"),
        ({"edit": "[6]"}, "edit: '[6]' is not a JSON object"),
        ({"edit": '{"octave": 6}'}, "there is no recipe field 'octave'; did you mean 'octaves'"),
        ({"preset": "gone"}, "there is no preset 'gone'"),
    ],
)
@pytest.mark.usefixtures("comfy")
def test_a_wrong_recipe_is_answered_with_a_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(reverie.ReverieError) as error:
        RECIPE_NODE.run(**values)
    assert sentence in str(error.value)


def test_a_saved_recipe_can_be_read_and_nothing_is_overwritten(comfy: Any) -> None:
    record = Record(reverie.Recipe(octaves=7))
    for _ in range(2):
        shown = SAVE_RECIPE.run(recipe=record, filename_prefix="looks/mine", metadata={}).shown
    assert shown == {"text": ["looks/mine_00002_.json"]}
    files = sorted((comfy.base / "output/looks").iterdir())
    assert [file.name for file in files] == ["mine_00001_.json", "mine_00002_.json"]
    assert {read_recipe(file).recipe for file in files} == {record.recipe}
    found, _ = RECIPE_NODE.run(file="looks/mine_00001_.json").values
    assert found.recipe == record.recipe


def save(image: torch.Tensor, recipe: Record, **values: Any) -> list[dict[str, str]]:
    shown = SAVE_IMAGE.run(image=image, recipe=recipe, **values).shown
    assert shown is not None
    images: list[dict[str, str]] = shown["images"]
    return images


def test_a_saved_dream_holds_recipe_and_workflow(image: torch.Tensor, comfy: Any) -> None:
    alpha = torch.linspace(0, 1, 97)[None, None, :, None].expand(1, 71, 97, 1)
    dreamed, record = DREAM.run(
        image=torch.cat([image, alpha], dim=3), octaves=1, steps=1, mask=torch.ones(1, 8, 8)
    ).values
    graph = {"prompt": {"1": {"inputs": {}}}, "workflow": {"nodes": [], "name": "Träume"}}
    (saved,) = save(dreamed, record, metadata=graph)
    assert saved == {"filename": "dream_00001_.png", "subfolder": "reverie", "type": "output"}
    path = comfy.base / "output/reverie/dream_00001_.png"
    with Image.open(path) as file:
        assert {key: json.loads(file.info[key]) for key in graph} == graph
    found = read_recipe(path)
    assert found.recipe == record.recipe
    assert found.is_masked
    assert found.digest is not None
    picture = read_picture(path)
    assert torch.equal(
        torch.from_numpy(picture.pixels * 255).round(), (dreamed[0, ..., :3] * 255).round()
    )
    assert picture.alpha is not None


def test_a_saved_dream_opens_as_a_recipe_here(image: torch.Tensor, comfy: Any) -> None:
    record = Record(reverie.Recipe(octaves=7), is_guided=True)
    save(image, record, filename_prefix="one", metadata={"prompt": None})
    found, _ = RECIPE_NODE.run(file="one_00001_.png").values
    assert found.recipe == record.recipe
    assert found.is_guided
    assert (comfy.base / "output/one_00001_.png").is_file()


def test_every_image_of_a_batch_is_saved_under_its_own_name(
    image: torch.Tensor, comfy: Any
) -> None:
    record = Record(reverie.Recipe())
    names = [
        one["filename"]
        for _ in range(2)
        for one in save(image.repeat(2, 1, 1, 1), record, filename_prefix="a", metadata={})
    ]
    assert names == [f"a_0000{number}_.png" for number in (1, 2, 3, 4)]
    assert len(list((comfy.base / "output").iterdir())) == 4


def test_without_metadata_the_file_holds_pixels_only(image: torch.Tensor, comfy: Any) -> None:
    comfy.args.disable_metadata = True
    save(image[..., :1], Record(reverie.Recipe()), filename_prefix="a", metadata={"prompt": {}})
    with Image.open(comfy.base / "output/a_00001_.png") as file:
        assert file.mode == "L"
        assert not file.info
