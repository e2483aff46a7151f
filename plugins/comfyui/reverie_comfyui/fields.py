"""From the Recipe's settings to inputs of nodes; nothing is described twice."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reverie.plugins import registry
from reverie.recipe import settings
from reverie_comfyui.description import Input

if TYPE_CHECKING:
    from reverie.setting import Setting

_KINDS = {
    "integer": "INT",
    "number": "FLOAT",
    "boolean": "BOOLEAN",
    "choice": "COMBO",
    "text": "STRING",
}
_LAST_REQUIRED = "precision"
"""The last setting of the Recipe when the nodes were first made."""
NO_PRESET = "none"
"""The choice of a preset that stands for the settings alone."""


def of_setting(setting: Setting) -> Input:
    """Describe the input for a setting."""
    names = names_for(setting)
    unit = f" In {setting.unit}." if setting.unit else ""
    return Input(
        name=setting.name,
        type="COMBO" if names else _KINDS[setting.kind],
        label=setting.label,
        help=setting.help + unit,
        default=setting.default,
        minimum=setting.minimum,
        maximum=setting.maximum,
        step=setting.step,
        choices=names,
        is_advanced=setting.advanced,
        is_seed=setting.name == "seed",
    )


def names_for(setting: Setting) -> tuple[str, ...]:
    """List what a setting can be chosen from: its choices, or names that plug-ins brought.

    Layers are left out, because an objective is a text that may hold more than one.
    """
    found: dict[str, Any] = {
        "networks": registry().networks,
        "parameterizations": registry().parameterizations,
    }
    names = found[setting.source]() if setting.source in found else ()
    return setting.choices or tuple(names)


def recipe_inputs() -> tuple[Input, ...]:
    """List the inputs for all settings, in the Recipe's order, which is append-only.

    Those that came later are optional: workflows without them go on working, with the default.
    """
    inputs = tuple(map(of_setting, settings()))
    first = [one.name for one in inputs].index(_LAST_REQUIRED) + 1
    return inputs[:first] + tuple(replace(one, is_optional=True) for one in inputs[first:])


def preset_input() -> Input:
    """Describe the choice of a preset."""
    presets = registry().presets()
    return Input(
        name="preset",
        type="COMBO",
        label="Preset",
        help="A look to start from. The settings below that differ from their defaults are laid "
        f'over it; "{NO_PRESET}" takes the settings alone.',
        default=NO_PRESET,
        choices=(NO_PRESET, *presets),
    )
