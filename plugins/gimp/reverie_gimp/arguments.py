"""From the Recipe's settings to the arguments of GIMP's procedure, as plain data.

The list follows the release, not what is installed: GIMP caches it, and refuses every call when it
changes without notice. Networks, layers and the like are therefore texts, with lists of names that
the dialog fills when it opens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reverie.recipe import settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reverie.setting import Setting

LARGEST = 2**31 - 1
"""GIMP's whole numbers have 32 bits: of the seeds, it has these."""
TAKEN = "cdelrsh" + "avk"
"""Letters that have a button: GIMP's _Cancel, _Dream, R_eset, _Load, _Save, _Help, ours _Advanced,
Pre_view, _Keep so far."""

PRESET = {
    "name": "preset",
    "kind": "text",
    "title": "Preset",
    "help": "A look to start from, by its name: the settings that differ from their defaults "
    "are laid over it. Empty: the settings alone.",
    "default": "",
    "advanced": False,
}
RESULT = {
    "name": "result",
    "kind": "choice",
    "title": "Result",
    "help": "Where the dream goes: into the layer itself, or into a new layer above it.",
    "default": "in-place",
    "choices": {"in-place": "Change the layer", "new-layer": "New layer"},
    "advanced": False,
}
GUIDE = {
    "name": "guide",
    "kind": "file",
    "title": "Guide",
    "help": "A picture whose features are to appear: the objective guide(LAYER) looks at it. A "
    "plain layer, or none, becomes guide of that layer.",
    "default": None,
    "advanced": False,
    "below": "objective",
}
REGIONS = {
    "name": "regions",
    "kind": "text",
    "title": "Regions",
    "help": "Other objectives in other places: a channel of the image says where. Scripts give a "
    "line CHANNEL = OBJECTIVE for each.",
    "default": "",
    "advanced": False,
    "below": "guide",
}


def argument(setting: Setting) -> dict[str, Any]:
    """Describe the argument for a setting, as the plug-in's installation.json holds it.

    `lower` and `upper` are what GIMP can hold: of 64-bit seeds, those of 31 bits.
    """
    unit = f" In {setting.unit}." if setting.unit else ""
    described: dict[str, Any] = {
        "name": setting.name.replace("_", "-"),
        "kind": setting.kind,
        "title": setting.label,
        "help": setting.help + unit,
        "default": setting.default,
        "advanced": setting.advanced,
    }
    if setting.kind in {"integer", "number"}:
        described["lower"] = setting.minimum if setting.minimum is not None else 0
        described["upper"] = setting.maximum if setting.maximum is not None else LARGEST
        if setting.kind == "integer":
            described["upper"] = min(int(described["upper"]), LARGEST)
        described["step"] = setting.step or 1
    if setting.kind == "choice":
        described["choices"] = {choice: choice for choice in setting.choices}
    if setting.source:
        described["source"] = setting.source
    return described


def arguments() -> list[dict[str, Any]]:
    """List all arguments in the procedure's order, with their mnemonics.

    What has "below" stands in the dialog below the row of that argument.
    """
    listed = [PRESET, *map(argument, settings()), RESULT, GUIDE, REGIONS]
    letters = mnemonics([one["title"] for one in listed], TAKEN)
    return [{**one, "mnemonic": letters.get(one["title"], "")} for one in listed]


def mnemonics(titles: Sequence[str], taken: str = "") -> Mapping[str, str]:
    """Choose a letter of its own for each title, as many as can have one.

    >>> mnemonics(["Steps", "Step size", "Tee"], taken="s")
    {'Steps': 't', 'Step size': 'p', 'Tee': 'e'}
    """
    owners: dict[str, str] = {}

    def place(title: str, tried: set[str]) -> bool:
        """Give a title a letter; one who has it takes another if it can (Kuhn's matching)."""
        for letter in dict.fromkeys(filter(str.isalpha, title.lower())):
            if letter in tried or letter in taken:
                continue
            tried.add(letter)
            if letter not in owners or place(owners[letter], tried):
                owners[letter] = title
                return True
        return False

    for title in titles:
        place(title, set())
    found = {title: letter for letter, title in owners.items()}
    return {title: found[title] for title in titles if title in found}
