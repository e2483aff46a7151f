"""The kit must find faults: each check is shown one."""

from __future__ import annotations

import argparse
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from reverie import Host, Network, Objective, ObjectiveFactory, Parameterization, hookimpl, testing
from reverie.plugins import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from reverie import Setting


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put records into the registry that the kit sees, as a plug-in would."""

    def offer(hook: str, *records: object) -> None:
        plugin = SimpleNamespace(**{hook: hookimpl(specname=hook)(lambda: records)})
        found = Registry([("faulty", plugin)], installed=())
        for module in ("testing", "engine.prepare", "networks.loading"):
            monkeypatch.setattr(f"reverie.{module}.registry", lambda: found)

    return offer


def test_a_network_that_ignores_the_picture_fails(offer: Callable[..., None]) -> None:
    class Deaf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.conv(image * 0)
            return result

    offer("reverie_networks", Network(name="deaf", summary="", load=lambda _: Deaf()))
    with pytest.raises(AssertionError, match="deaf: the dream changes nothing"):
        testing.check_network("deaf")


def test_an_objective_that_is_one_number_for_a_batch_fails(offer: Callable[..., None]) -> None:
    def lazy(layer: str) -> Objective:
        return Objective(frozenset({layer}), lambda a: a[layer].mean().view(1))

    offer("reverie_objectives", ObjectiveFactory(name="lazy", summary="", make=lazy))
    with pytest.raises(AssertionError, match="not one value a picture"):
        testing.check_objective("lazy(eyes)")


def test_an_objective_that_falls_fails(offer: Callable[..., None]) -> None:
    del offer
    with pytest.raises(AssertionError, match="did not rise"):
        testing.check_objective("0*eyes")


def test_a_parameterization_that_loses_the_picture_fails(offer: Callable[..., None]) -> None:
    space = Parameterization(
        name="lossy", summary="", encode=lambda x: x, decode=lambda x, _: x * 0.9
    )
    offer("reverie_parameterizations", space)
    with pytest.raises(AssertionError, match="comes back changed"):
        testing.check_parameterization("lossy")


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"control": lambda _: None}, "has no control"),
        ({"control": lambda _: {"default": "mine"}}, "'network' has the default 'mine', not the"),
        (
            {"control": lambda _: {"minimum": -1}},
            "'octaves' has the minimum -1, not the recipe's 1",
        ),
        ({"control": lambda _: {"max": 9**9}}, "'octaves' has the max .*, not the recipe's 12"),
        ({"control": lambda _: {"choices": ("a", "b")}}, "has the choices .'a', 'b'., not"),
        ({"to_image": lambda picture: picture[0]}, "not \\(N, 3, H, W\\) float32"),
        ({"to_image": lambda picture: picture * 255}, "not 0..1"),
        ({"from_image": lambda image, _like: image.flip(3)}, "colours come back changed"),
    ],
)
def test_a_host_with_a_fault_fails(
    offer: Callable[..., None], picture: torch.Tensor, fault: dict[str, Any], sentence: str
) -> None:
    good: dict[str, Any] = {
        "control": lambda setting: setting.name,
        "to_image": lambda picture: picture,
        "from_image": lambda image, _like: image,
    }
    offer("reverie_hosts", Host(name="odd", summary="", **{**good, **fault}))
    with pytest.raises(AssertionError, match=sentence):
        testing.check_host("odd", picture)


@pytest.mark.parametrize("default", ["the setting's", argparse.SUPPRESS])
def test_a_host_whose_controls_say_what_the_settings_say_passes(
    offer: Callable[..., None], picture: torch.Tensor, default: str
) -> None:
    def control(setting: Setting) -> dict[str, Any]:
        return {
            "default": setting.default if default == "the setting's" else default,
            "min": 0 if setting.minimum is None else setting.minimum,
            "max": setting.maximum,
            "choices": setting.choices,
        }

    host = Host(
        name="good",
        summary="",
        control=control,
        to_image=lambda picture: picture,
        from_image=lambda image, _like: image,
    )
    offer("reverie_hosts", host)
    testing.check_host("good", picture)


def test_every_built_in_preset_keeps_the_contract() -> None:
    from reverie import registry

    for name in registry().presets():
        testing.check_preset(name)
