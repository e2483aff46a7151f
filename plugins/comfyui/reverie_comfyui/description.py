"""What a node is, apart from how ComfyUI wants to be told: v3.py and v1.py tell it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CATEGORY = "reverie"
NETWORK = "REVERIE_NETWORK"
"""A network as a recipe names it: str."""
OBJECTIVE = "REVERIE_OBJECTIVE"
"""An objective as a recipe writes it: str."""
REGIONS = "REVERIE_REGIONS"
"""Other objectives in other places: `reverie_comfyui.regions.Regions`."""
RECIPE = "REVERIE_RECIPE"
"""A recipe, and what is known of its dream: `reverie.record.Record`."""

Kind = Literal["INT", "FLOAT", "BOOLEAN", "COMBO", "STRING"]


@dataclass(frozen=True, kw_only=True)
class Input:
    """One input of a node."""

    name: str
    """Never changes once released; saved workflows hold it."""
    type: str
    """A `Kind`, which has a widget, or a type that only links carry: IMAGE, MASK, one of ours."""
    label: str
    help: str
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    """What a COMBO offers."""
    is_optional: bool = False
    is_advanced: bool = False
    """Folded away where the page can."""
    is_seed: bool = False
    """The page may change it after each run."""
    is_multiline: bool = False


@dataclass(frozen=True, kw_only=True)
class Output:
    """One output of a node."""

    type: str
    label: str
    help: str


@dataclass(frozen=True)
class Result:
    """What a node gave: a value for each output, and what the page shows."""

    values: tuple[Any, ...] = ()
    shown: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node: what it is called, takes and gives, and the function behind it."""

    id: str
    """Never changes once released."""
    title: str
    help: str
    inputs: Callable[[], tuple[Input, ...]]
    """Asked each time, because networks and files come and go; their order is append-only."""
    outputs: tuple[Output, ...] = ()
    run: Callable[..., Result]
    """Takes the inputs by name; one that writes files takes `metadata` as well."""
    fingerprint: Callable[..., str] | None = None
    """Changes when something outside the inputs does: a file. Takes the inputs by name."""
    writes_files: bool = False
    aliases: tuple[str, ...] = field(default=())
    """Other words to find it by."""
