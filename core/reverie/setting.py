"""Settings: what a form needs to know about one field, read from the model that owns it.

A host never lists numbers of its own; it walks `settings_of(Recipe)` and makes a control of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One field of the Recipe as a form shows it; a host makes a control of it."""

    name: str
    """The field's name, the same word everywhere: `octave_scale`, `--octave-scale`."""
    label: str
    """A short title: "Octave scale"."""
    help: str
    """One or two sentences: what it does."""
    kind: Literal["integer", "number", "boolean", "choice", "text"]
    default: int | float | bool | str
    minimum: float | None = None
    """Smallest allowed value, for integer and number."""
    maximum: float | None = None
    step: float | None = None
    """How far one click should move it; not a constraint."""
    unit: str = ""
    """"px", "grey levels" or nothing."""
    choices: tuple[str, ...] = ()
    """All allowed values of a choice."""
    source: str = ""
    """For a text: the registry whose names to offer: networks, layers, parameterizations."""
    advanced: bool = False
    """Shown only when the user asks for more."""


def setting(
    default: Any,
    label: str,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    step: float | None = None,
    unit: str | None = None,
    choices: str | None = None,
    advanced: bool = False,
) -> Any:
    """Describe a field once: pydantic checks the range, hosts read the rest from the schema.

    The words are `Setting`'s; the default decides the kind.
    """
    hints = {"step": step, "unit": unit, "choices": choices, "advanced": advanced or None}
    extra: Any = {key: value for key, value in hints.items() if value is not None}
    return Field(
        default,
        title=label,
        description=description,
        ge=minimum,
        le=maximum,
        allow_inf_nan=False if isinstance(default, float) else None,
        json_schema_extra=extra,
    )


def settings_of(model: type[BaseModel]) -> tuple[Setting, ...]:
    """List a model's fields in order, without `version`, as a form shows them."""
    return tuple(_settings(model))


def _settings(model: type[BaseModel]) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        if name == "version":
            continue
        hints = field.json_schema_extra
        extra: dict[str, Any] = dict(hints) if isinstance(hints, dict) else {}
        limits = {type(m).__name__: m for m in field.metadata}
        literal = get_origin(field.annotation) is Literal
        yield Setting(
            name=name,
            label=field.title or name,
            help=field.description or "",
            kind="choice" if literal else _KINDS[field.annotation],
            default=field.default,
            minimum=getattr(limits.get("Ge"), "ge", None),
            maximum=getattr(limits.get("Le"), "le", None),
            step=extra.get("step"),
            unit=extra.get("unit", ""),
            choices=get_args(field.annotation) if literal else (),
            source=extra.get("choices", ""),
            advanced=extra.get("advanced", False),
        )


_KINDS: Mapping[Any, Literal["integer", "number", "boolean", "text"]] = {
    int: "integer",
    float: "number",
    bool: "boolean",
    str: "text",
}
