"""The Recipe: wrong values are sentences, and what is written is read again, now and later."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

import reverie
from reverie import Objective, Recipe, RecipeError, recipe
from reverie.objectives import channel, layer

if TYPE_CHECKING:
    from collections.abc import Callable

NOT_DEFAULT: dict[str, Any] = {
    "network": "googlenet:~/my weights.pth",
    "objective": 'layer("é 夢") - 0.5*channel("b", 7)',
    "octaves": 12,
    "octave_scale": 1.0500000000000003,
    "steps": 1000,
    "step_size": 0.1,
    "jitter": 0,
    "seed": 2**64 - 1,
    "size": 32768,
    "carry": "picture",
    "normalization": "std",
    "smoothing": 1e-7,
    "clip": False,
    "parameterization": "logit",
    "precision": "bf16",
    "colour": "palette",
    "anchor": 1e-7,
    "edges": "panorama",
    "optimizer": "adam",
    "laplacian": 8,
    "start": "procedural",
    "noise": 1e-7,
    "rotate": 180.0,
    "scale": 0.5,
    "flip": True,
    "pad": 512,
    "crops": 32,
}


def sentence(make: Callable[[], object]) -> str:
    with pytest.raises(RecipeError) as caught:
        make()
    return str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("octaves", 0, "octaves: 0 is outside 1..12."),
        ("octaves", "99", "octaves: 99 is outside 1..12."),
        ("steps", "many", "steps: 'many' is not a whole number in 1..1000."),
        ("steps", None, "steps: None is not a whole number in 1..1000."),
        ("jitter", 1.5, "jitter: 1.5 is not a whole number in 0..512."),
        ("jitter", math.nan, "jitter: nan is not a whole number in 0..512."),
        ("octave_scale", 1, "octave_scale: 1 is outside 1.05..4.0."),
        ("octave_scale", math.nan, "octave_scale: nan is not a number in 1.05..4.0."),
        ("step_size", math.inf, "step_size: inf is not a number in 0.01..32.0."),
        ("step_size", "-0.5", "step_size: -0.5 is outside 0.01..32.0."),
        ("seed", -1, "seed: -1 is outside 0..18446744073709551615."),
        ("seed", 2**64, "seed: 18446744073709551616 is outside 0..18446744073709551615."),
        ("carry", "sharp", "carry: 'sharp' is not one of detail, picture."),
        ("clip", "perhaps", "clip: 'perhaps' is neither true nor false."),
        ("network", 5, "network: 5 is not valid: Input should be a valid string."),
        ("version", 2, "version: 2 is not valid: Input should be 1."),
    ],
)
def test_a_wrong_value_is_a_sentence_with_field_value_and_range(
    field: str, value: Any, expected: str
) -> None:
    assert sentence(lambda: Recipe(**{field: value})) == expected


def test_several_wrong_fields_are_told_at_once() -> None:
    said = sentence(lambda: Recipe(octaves=0, carry="sharp"))  # type: ignore[arg-type]
    assert said == "octaves: 0 is outside 1..12. carry: 'sharp' is not one of detail, picture."


@pytest.mark.parametrize(
    "value",
    ["9" * 10**5, "x" * 10**5, ["x" * 10**5], -(10**5000), 10**200],
    ids=["digits", "text", "list", "negative", "whole"],
)
def test_a_sentence_never_shows_a_page_of_a_wrong_value(value: Any) -> None:
    assert len(sentence(lambda: Recipe(seed=value))) < 200


def test_an_unknown_field_is_answered_with_the_nearest_names() -> None:
    said = sentence(lambda: Recipe.from_json('{"octavs": 3}'))
    assert said.startswith("there is no recipe field 'octavs'; did you mean 'octaves'")
    assert "'self'" in sentence(lambda: Recipe.from_json('{"self": 1}'))


@pytest.mark.parametrize(("given", "kept"), [("6", 6), (6.0, 6)])
def test_numbers_may_come_as_a_host_gives_them(given: Any, kept: int) -> None:
    octaves = Recipe(octaves=given).octaves
    assert octaves == kept
    assert type(octaves) is int


def test_a_recipe_cannot_be_changed_but_evolves() -> None:
    first = Recipe(octaves=5)
    with pytest.raises(ValueError, match="frozen"):
        first.octaves = 6
    second = first.evolve(steps=3)
    assert (first.octaves, first.steps) == (5, Recipe().steps)
    assert (second.octaves, second.steps) == (5, 3)
    assert second.evolve() == second
    assert len({first, second, first.evolve(steps=3)}) == 2


def test_evolving_checks_like_a_new_recipe() -> None:
    assert sentence(lambda: Recipe().evolve(octaves=13)) == "octaves: 13 is outside 1..12."
    assert "'stepps'" in sentence(lambda: Recipe().evolve(stepps=1))


def test_objectives_become_their_text() -> None:
    wanted = 'layer("eyes") - 0.5*channel("creatures", 7)'
    assert Recipe(objective=layer("eyes") - 0.5 * channel("creatures", 7)).objective == wanted  # type: ignore[arg-type]
    assert Recipe().evolve(objective=layer("eyes")).objective == 'layer("eyes")'


def test_an_objective_without_a_text_is_refused_rather_than_forgotten() -> None:
    by_hand = Objective(frozenset({"eyes"}), lambda a: a["eyes"].mean(dim=(1, 2, 3)))
    for objective in (by_hand, 2 * by_hand, -by_hand, layer("eyes") + by_hand):
        said = sentence(lambda objective=objective: Recipe(objective=objective))  # type: ignore[misc]
        assert said.startswith("objective: it has no text; make it with @reverie.objective")


def test_only_what_differs_from_the_defaults_is_written() -> None:
    assert json.loads(Recipe().to_json()) == {"version": 1}
    assert json.loads(Recipe(octaves=Recipe().octaves, steps=3).to_json()) == {
        "version": 1,
        "steps": 3,
    }


def test_every_field_survives_a_round_trip_exactly() -> None:
    assert set(NOT_DEFAULT) == {setting.name for setting in reverie.settings()}
    full = Recipe(**NOT_DEFAULT)
    assert json.loads(full.to_json()) == {"version": 1, **NOT_DEFAULT}
    assert Recipe.from_json(full.to_json()) == full
    assert Recipe.from_json(Recipe().to_json()) == Recipe()


def test_a_recipe_without_a_version_is_of_version_1() -> None:
    assert Recipe.from_json('{"octaves": 5}') == Recipe(octaves=5)


@pytest.mark.parametrize("newer", [2, 10**30])
def test_a_recipe_of_a_newer_release_is_refused_with_a_remedy(newer: int) -> None:
    said = sentence(lambda: Recipe.from_json(json.dumps({"version": newer, "later_field": 1})))
    assert f"format {newer}" in said
    assert "upgrade reverie" in said


@pytest.mark.parametrize("version", [0, -1, "1", 1.0, True, None, [1]])
def test_a_version_that_is_none_is_refused(version: Any) -> None:
    said = sentence(lambda: Recipe.from_json(json.dumps({"version": version})))
    assert said == f"version: {version!r} is not a recipe version; allowed: 1..1."


@pytest.mark.parametrize("text", ["", "octaves: 3", "[]", "3", "null", "{", "[" * 10**5, '"{}"'])
def test_what_is_no_recipe_is_refused_with_a_sentence(text: str) -> None:
    assert sentence(lambda: Recipe.from_json(text)).startswith("this is not a recipe: ")


def test_an_older_recipe_is_migrated_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def renamed(data: dict[str, Any]) -> dict[str, Any]:
        return {("octaves" if key == "octave_n" else key): value for key, value in data.items()}

    def rescaled(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "step_size": data["step_size"] * 256}

    monkeypatch.setattr(recipe, "VERSION", 3)
    monkeypatch.setattr(recipe, "MIGRATIONS", {1: renamed, 2: rescaled})
    oldest = {"octave_n": 5, "step_size": 0.01}
    assert recipe.migrate(oldest) == {"version": 3, "octaves": 5, "step_size": 2.56}
    assert recipe.migrate({"version": 2, "octaves": 5, "step_size": 0.01}) == recipe.migrate(oldest)
    assert recipe.migrate({"version": 3, "step_size": 2.0}) == {"version": 3, "step_size": 2.0}
    assert oldest == {"octave_n": 5, "step_size": 0.01}, "what was read is left unchanged"


def test_there_is_a_migration_from_every_older_version() -> None:
    assert set(recipe.MIGRATIONS) == set(range(1, recipe.VERSION))
