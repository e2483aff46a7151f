"""Settings: whatever a host needs to know of a field stands in the schema, once."""

from __future__ import annotations

from typing import Any

import pytest

from reverie import Recipe, RecipeError, Setting, settings
from reverie.cli import parser

SCHEMA: dict[str, dict[str, Any]] = {
    name: field
    for name, field in Recipe.model_json_schema()["properties"].items()
    if name != "version"
}
KINDS = {"integer": "integer", "number": "number", "boolean": "boolean", "string": "text"}
NUMBERS = [setting for setting in settings() if setting.kind in {"integer", "number"}]
PIXELS = {"jitter", "size", "smoothing"}

each_setting = pytest.mark.parametrize("setting", settings(), ids=lambda setting: setting.name)
each_number = pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting.name)


def test_every_field_is_a_setting_in_order() -> None:
    assert [setting.name for setting in settings()] == list(SCHEMA)


@each_setting
def test_a_setting_says_what_the_json_schema_says(setting: Setting) -> None:
    field = SCHEMA[setting.name]
    assert setting == Setting(
        name=setting.name,
        label=field["title"],
        help=field["description"],
        kind="choice" if "enum" in field else KINDS[field["type"]],  # type: ignore[arg-type]
        default=field["default"],
        minimum=field.get("minimum"),
        maximum=field.get("maximum"),
        step=field.get("step"),
        unit=field.get("unit", ""),
        choices=tuple(field.get("enum", ())),
        source=field.get("choices", ""),
        advanced=field.get("advanced", False),
    )


@each_setting
def test_a_setting_has_a_label_and_a_sentence_of_help(setting: Setting) -> None:
    assert setting.label.lower().replace(" ", "_") == setting.name
    assert setting.help.endswith(".")
    assert len(setting.help) > 20


@each_number
def test_a_number_has_limits_a_step_and_a_default_between(setting: Setting) -> None:
    assert setting.minimum is not None
    assert setting.maximum is not None
    assert setting.step is not None
    assert isinstance(setting.default, (int, float))
    assert setting.minimum <= setting.default <= setting.maximum
    assert 0 < setting.step < setting.maximum - setting.minimum
    assert setting.unit == ("px" if setting.name in PIXELS else setting.unit)
    assert setting.unit in {"", "px", "degrees", "grey levels"}


@each_number
def test_the_limits_of_a_number_are_what_the_recipe_allows(setting: Setting) -> None:
    assert setting.minimum is not None
    assert setting.maximum is not None
    margin = 1 if setting.kind == "integer" else 0.001
    for allowed in (setting.minimum, setting.maximum):
        assert getattr(Recipe().evolve(**{setting.name: allowed}), setting.name) == allowed
    for refused in (setting.minimum - margin, setting.maximum + margin):
        with pytest.raises(RecipeError, match=rf"^{setting.name}: .* is outside "):
            Recipe().evolve(**{setting.name: refused})


@each_setting
def test_every_choice_and_default_makes_a_recipe(setting: Setting) -> None:
    for value in (*setting.choices, setting.default):
        assert getattr(Recipe().evolve(**{setting.name: value}), setting.name) == value


def test_texts_name_the_registry_that_completes_them() -> None:
    texts = {setting.name: setting.source for setting in settings() if setting.kind == "text"}
    assert texts == {
        "network": "networks",
        "objective": "layers",
        "parameterization": "parameterizations",
    }


def test_a_setting_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        settings()[0].default = "googlenet"  # type: ignore[misc]


def test_the_command_line_repeats_no_default_of_the_recipe() -> None:
    given = vars(parser().parse_args(["dream", "photo.jpg"]))
    assert not given.keys() & SCHEMA.keys()
