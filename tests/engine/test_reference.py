"""Objectives that look at more than the picture: the original, a guide laid over it, a choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch.nn import functional

from reverie import Objective, ObjectiveError, ObjectiveFactory, Recipe, dream, hookimpl
from reverie.device import own_grad_mode
from reverie.engine.frozen import freeze
from reverie.engine.gradient import image_gradient
from reverie.engine.octaves import resize
from reverie.engine.prepare import Climb, prepare
from reverie.engine.reference import Glances, Reference
from reverie.grammar import parse_objective
from reverie.networks.loading import load_network
from reverie.objectives import INPUT, ORIGINAL, Look
from reverie.plugins import registry

if TYPE_CHECKING:
    from collections.abc import Callable

CPU = torch.device("cpu")
QUICK = Recipe(octaves=2, steps=2, precision="float32")
COMPARING = [
    "invert(eyes)",
    "caricature(eyes)",
    "caricature(eyes, cossim_power=3, of=guide) - l2_to_original()",
    "strongest(eyes, 5)",
    "eyes - 10*l2_to_original()",
    "eyes - 1e4*total_variation(of=change)",
    "rings + above_average(creatures) - invert(eyes, of=guide)",
]
each = pytest.mark.parametrize("text", COMPARING)


def waves(height: int, width: int, seed: int) -> torch.Tensor:
    noise = torch.rand(1, 3, 40, 44, generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(noise, size=(height, width), mode="bicubic").clamp(0, 1)


def climb_of(text: str, memory: int | None = None) -> Climb:
    with own_grad_mode():
        return prepare(QUICK.evolve(objective=text), CPU, memory, waves(90, 80, 9))


def beside(climb: Climb, picture: torch.Tensor, original: torch.Tensor) -> tuple[Reference, ...]:
    climb.lay_target_over(picture, slice(None), slice(None))
    return climb.beside(picture, original)


@each
def test_tiles_give_the_gradient_of_the_whole_picture(text: str) -> None:
    picture, original = waves(624, 416, 0), waves(624, 416, 1)
    whole = climb_of(text)
    cut = climb_of(text, 340 * 340 * whole.footprint)
    seen = beside(whole, picture, original)
    assert seen, "this objective needs more than the picture"
    with own_grad_mode():
        expected_value, expected = whole.gradient(picture, (-100, 41), *seen)
        value, gradient = cut.gradient(picture, (-100, 41), *seen)
    assert float((gradient - expected).norm() / expected.norm()) < 1e-5
    assert float(value) == pytest.approx(float(expected_value), rel=0.1)


@each
def test_the_tape_free_engine_agrees_with_autograd(text: str) -> None:
    picture, original = waves(150, 170, 0), waves(150, 170, 1)
    network = load_network("embedded")
    objective = parse_objective(text, registry().objectives())
    with own_grad_mode():
        prepared = network.prepare(objective.layers, CPU, torch.float32)
        look = Glances(prepared, objective, waves(150, 170, 2), 10**9)
        seen = look(picture, original)
        value, expected = image_gradient(prepared, objective, picture, (5, -9), seen)
        frozen = freeze(prepared, torch.float32)
        assert frozen is not None
        found_value, found = frozen.gradient(objective, picture, (5, -9), seen)
    assert float(found_value) == pytest.approx(float(value), rel=1e-4)
    assert float((found - expected).norm() / expected.norm()) < 1e-4


@each
def test_pictures_of_a_batch_are_dreamed_as_if_alone(text: str) -> None:
    batch = torch.cat([waves(80, 96, 3), waves(80, 96, 4)])
    guide = waves(64, 64, 5) if "guide" in text else None
    recipe = QUICK.evolve(objective=text + " + 0.1*rings")
    together = dream(batch, recipe, guide=guide, device="cpu")
    alone = dream(batch[1:], recipe, guide=guide, device="cpu")
    assert torch.equal(together[1:], alone)


def test_every_position_is_compared_with_itself_however_the_picture_is_rolled() -> None:
    picture = waves(96, 128, 0)
    climb = climb_of("invert(eyes)")
    with own_grad_mode():
        value, gradient = climb.gradient(picture, (31, -17), *climb.beside(picture, picture))
    assert float(value) == 0
    assert not gradient.any()


def test_holding_on_to_the_original_keeps_a_dream_nearer_to_it(picture: torch.Tensor) -> None:
    free, held = (
        dream(picture, QUICK.evolve(objective=text, steps=6), device="cpu")
        for text in ("eyes", "eyes - 1e6*l2_to_original()")
    )
    assert (held - picture).square().mean() < 0.9 * (free - picture).square().mean()


def test_inversion_brings_the_guides_features_back(picture: torch.Tensor) -> None:
    values: list[float] = []
    recipe = QUICK.evolve(objective="invert(rings, of=guide)", octaves=1, steps=12)
    guide = picture.flip(3)
    dream(picture, recipe, guide=guide, device="cpu", on_step=lambda s: values.append(s.value))
    assert values[-1] > 0.8 * values[0], "they are negative: nearer to 0 is better"


def test_a_guide_laid_over_a_selection_is_cut_as_the_picture(picture: torch.Tensor) -> None:
    climb = climb_of("invert(eyes, of=guide)")
    large = resize(picture, (300, 400))
    climb.lay_target_over(large, slice(40, 90), slice(8, 200))
    assert climb.look is not None
    target = climb.look.target
    assert target is not None
    assert torch.equal(target, resize(waves(90, 80, 9), (300, 400))[:, :, 40:90, 8:200])


def test_comparing_with_a_guide_needs_one(picture: torch.Tensor) -> None:
    with pytest.raises(ObjectiveError, match=r"looks at a guide picture; give one with"):
        dream(picture, QUICK.evolve(objective="invert(eyes, of=guide)"), device="cpu")


def test_a_mask_is_respected(picture: torch.Tensor) -> None:
    mask = torch.zeros(71, 97)
    mask[20:40, 30:60] = 1
    recipe = QUICK.evolve(objective="strongest(eyes, 3) - l2_to_original()")
    dreamed = dream(picture, recipe, mask=mask, device="cpu")
    assert torch.equal(dreamed[..., mask == 0], picture[..., mask == 0])
    assert not torch.equal(dreamed, picture)


# -- choices ---------------------------------------------------------------------------------------


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[torch.Tensor]]:
    """Dreams with an objective that looks at the picture, and says what it saw."""

    def dreamed(when: str) -> list[torch.Tensor]:
        seen: list[torch.Tensor] = []

        def find(image: torch.Tensor) -> torch.Tensor:
            seen.append(image.clone())
            return image.mean(dim=(1, 2, 3))

        def curious() -> Objective:
            look = Look(key="mean", at=INPUT, find=find, when=when)  # type: ignore[arg-type]
            return Objective(
                frozenset({INPUT}),
                lambda a: a[INPUT].mean(dim=(1, 2, 3)) * a["mean"],
                looks=(look,),
            )

        factory = ObjectiveFactory(name="curious", summary="Looks.", make=curious)
        known = {**registry().objectives(), "curious": factory}
        monkeypatch.setattr(registry(), "objectives", lambda: known)
        dream(waves(70, 80, 0), QUICK.evolve(objective="curious()", octaves=3), device="cpu")
        return seen

    return dreamed


def test_a_picture_is_looked_at_when_an_octave_begins(
    looked: Callable[[str], list[torch.Tensor]],
) -> None:
    seen = looked("octave")
    assert [tuple(each.shape[2:]) for each in seen] == [(36, 41), (50, 57), (70, 80)]
    assert not torch.equal(seen[1], resize(waves(70, 80, 0), (50, 57))), "as dreamed so far"


def test_or_only_once_in_a_dream(looked: Callable[[str], list[torch.Tensor]]) -> None:
    (seen,) = looked("dream")
    assert torch.equal(seen, resize(waves(70, 80, 0), (36, 41)))


def test_a_picture_larger_than_what_is_seen_at_once_is_looked_at_smaller() -> None:
    objective = parse_objective("strongest(eyes)", registry().objectives())
    prepared = load_network("embedded").prepare(objective.layers, CPU, torch.float32)
    sizes: list[torch.Size] = []
    (look,) = objective.looks

    def find(activation: torch.Tensor) -> torch.Tensor:
        sizes.append(activation.shape)
        return activation[:, 0, 0, 0]

    watched = Look(key="size", at=look.at, find=find)
    curious = Objective(objective.layers, objective.value, looks=(watched,))
    Glances(prepared, curious, None, 100 * 100)(waves(400, 400, 0), waves(400, 400, 0))
    assert tuple(sizes[0][2:]) == (12, 12), "100 px at a stride of 8"


def test_the_strongest_channels_of_a_picture_get_stronger(picture: torch.Tensor) -> None:
    values: list[float] = []
    recipe = QUICK.evolve(objective="strongest(eyes, 4, when=dream)", octaves=1, steps=5, jitter=0)
    dream(picture, recipe, device="cpu", on_step=lambda step: values.append(step.value))
    assert values[-1] > values[0]


def test_diversity_makes_the_pictures_of_a_batch_differ_more() -> None:
    batch = waves(64, 64, 0).repeat(2, 1, 1, 1) * 0.7 + 0.3 * torch.cat(
        [waves(64, 64, 1), waves(64, 64, 2)]
    )
    values: list[float] = []
    recipe = QUICK.evolve(objective="diversity(eyes)", octaves=1, steps=8, jitter=0)
    made = dream(batch, recipe, device="cpu", on_step=lambda step: values.append(step.value))
    assert values[-1] > values[0] + 0.1, "minus the cosine of the two"
    apart = [float((each[0] - each[1]).abs().mean()) for each in (batch, made)]
    assert apart[1] > 1.2 * apart[0]


def test_a_batch_that_is_seen_at_once_needs_memory_for_all_of_it() -> None:
    alone, together = climb_of("neuron(eyes, 3)"), climb_of("diversity(eyes)")
    shape = (4, 3, 64, 96)
    more = together.least_memory(shape, in_file=False) - alone.least_memory(shape, in_file=False)
    assert more == 3 * 64 * 96 * together.footprint


def test_mapping_changes_pictures_and_leaves_what_was_found() -> None:
    seen = Reference({ORIGINAL: torch.ones(2, 3, 4, 5)}, {"key": torch.arange(2)})
    turned = seen.of(1).mapped(lambda x: x.transpose(2, 3))
    assert turned.pictures[ORIGINAL].shape == (1, 3, 5, 4)
    assert turned.found["key"].tolist() == [1]


def test_plug_ins_may_look_at_the_original_too(picture: torch.Tensor) -> None:
    """The fields of `Objective` are all there is to it: nothing here is known to the engine."""
    name = ORIGINAL + "eyes"

    def further() -> Objective:
        return Objective(
            frozenset({"eyes"}),
            lambda a: (a["eyes"] - a[name]).square().mean(dim=(1, 2, 3)),
            is_local=True,
            references=frozenset({name}),
        )

    class Plugin:
        @hookimpl
        def reverie_objectives(self) -> list[ObjectiveFactory[[]]]:
            return [ObjectiveFactory(name="further", summary="Away from here.", make=further)]

    factories = {one.name: one for one in Plugin().reverie_objectives()}
    made = parse_objective("further()", factories)
    prepared = load_network("embedded").prepare(made.layers, CPU, torch.float32)
    seen = Glances(prepared, made, None, 10**9)(picture, picture.flip(2))
    with own_grad_mode():
        value, gradient = image_gradient(prepared, made, picture, reference=seen)
    assert float(value) > 0
    assert gradient.any()
