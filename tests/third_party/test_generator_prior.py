"""A generator as prior comes through the same door as other parameterizations."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

import reverie
from reverie import ReverieError, hookspecs, testing
from reverie.plugins import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from reverie import Parameterization

RECIPE = reverie.Recipe(
    objective="eyes", octaves=2, steps=4, jitter=0, parameterization="generator", optimizer="adam"
)


@pytest.fixture(scope="module")
def prior() -> Any:
    path = Path(__file__).with_name("generator_prior.py")
    specification = importlib.util.spec_from_file_location("generator_prior", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Parameterization], None]:
    """Put a space into the registry that dreams see, as a plug-in would."""

    def offer(space: Parameterization) -> None:
        class Plugin:
            @hookspecs.hookimpl
            def reverie_parameterizations(self) -> tuple[Parameterization]:
                return (space,)

        found = Registry([("prior", Plugin())], installed=())
        for module in ("testing", "engine.prepare", "engine.dream", "networks.loading"):
            monkeypatch.setattr(f"reverie.{module}.registry", lambda: found)

    return offer


@pytest.fixture
def space(prior: Any) -> Parameterization:
    found: Parameterization = next(iter(prior.reverie_parameterizations()))
    return found


def test_training_learns_and_is_the_same_twice(prior: Any) -> None:
    first, errors = prior.train(steps=6)
    second, again = prior.train(steps=6)
    assert errors == again
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )
    assert sum(errors[-2:]) < 0.5 * sum(errors[:2])


def test_the_decoder_has_the_gradient_of_its_formula(prior: Any) -> None:
    generator = torch.Generator().manual_seed(1)
    network = prior.decoder(3, 4, generator).double()
    code = torch.rand(1, 3, 2, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, (code,))


def test_it_keeps_the_contract(
    space: Parameterization, offer: Callable[[Parameterization], None]
) -> None:
    offer(space)
    testing.check_parameterization("generator")


def test_the_dream_is_what_the_decoder_made_at_sizes_it_can_make(
    space: Parameterization,
    offer: Callable[[Parameterization], None],
    picture: torch.Tensor,
) -> None:
    made: list[torch.Tensor] = []

    def decode(code: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        made.append(space.decode(code, size).detach())
        return space.decode(code, size)

    offer(replace(space, decode=decode))
    values: dict[int, list[float]] = {}

    def look(step: reverie.Step) -> None:
        assert torch.equal(step.picture, made[-1].clamp(0, 1))
        assert space.sizes is not None
        assert space.sizes(step.size) == step.size
        values.setdefault(step.octave, []).append(step.value)

    dreamed = reverie.dream(picture, RECIPE, device="cpu", on_step=look)
    assert dreamed.shape == picture.shape
    assert all(rising[-1] > rising[0] for rising in values.values())


def test_outside_a_mask_it_leaves_every_bit(
    space: Parameterization,
    offer: Callable[[Parameterization], None],
    picture: torch.Tensor,
) -> None:
    offer(space)
    mask = torch.zeros(71, 97)
    mask[20:50, 30:70] = 1
    dreamed = reverie.dream(picture, RECIPE, mask=mask, device="cpu")
    assert torch.equal(dreamed[..., mask == 0], picture[..., mask == 0])
    assert not torch.equal(dreamed, picture)


def test_a_decoder_of_one_size_has_one_octave(
    space: Parameterization,
    offer: Callable[[Parameterization], None],
    picture: torch.Tensor,
) -> None:
    offer(replace(space, sizes=lambda _wanted: (64, 96)))
    seen: set[tuple[int, ...]] = set()
    dreamed = reverie.dream(
        picture, RECIPE, device="cpu", on_step=lambda step: seen.add((step.octaves, *step.size))
    )
    assert seen == {(1, 64, 96)}
    assert dreamed.shape == picture.shape


def test_a_decoder_too_small_for_the_network_is_said_in_a_sentence(
    space: Parameterization,
    offer: Callable[[Parameterization], None],
    picture: torch.Tensor,
) -> None:
    offer(replace(space, sizes=lambda _wanted: (1, 1)))
    with pytest.raises(ReverieError, match="generator gives 1 x 1 px, and the objective needs"):
        reverie.dream(picture, RECIPE, device="cpu")
