"""Reverie Objective: what to amplify, as a term of a sum."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from reverie_comfyui.description import OBJECTIVE, Input, Node, Output, Result

if TYPE_CHECKING:
    from reverie.objectives import Objective
    from reverie.types import ObjectiveFactory

EXPRESSION = "expression"
"""The kind that takes the text as it is."""
LARGEST_CHANNEL = 65_535
_NEEDED = (inspect.Parameter.empty, "")
"""Defaults of arguments that the node always gives; "" is a layer that may be left out."""


def _inputs() -> tuple[Input, ...]:
    from reverie.plugins import registry

    factories = registry().objectives()
    return (
        Input(
            name="kind",
            type="COMBO",
            label="Kind",
            help="What is amplified: "
            + " ".join(f"{name}: {one.summary}" for name, one in factories.items())
            + f" {EXPRESSION}: what is written there.",
            default="layer",
            choices=(*factories, EXPRESSION),
        ),
        Input(
            name="layer",
            type="STRING",
            label="Layer",
            help="The layer to look at, as Reverie Network lists it.",
            default="eyes",
        ),
        Input(
            name="channel",
            type="INT",
            label="Channel",
            help="Which feature of the layer, for kinds that take one; 0 is the first.",
            default=0,
            minimum=0,
            maximum=LARGEST_CHANNEL,
            step=1,
        ),
        Input(
            name="x",
            type="FLOAT",
            label="X",
            help="Where in the picture, for neuron: 0 is left, 1 right.",
            default=0.5,
            minimum=0,
            maximum=1,
            step=0.01,
            is_advanced=True,
        ),
        Input(
            name="y",
            type="FLOAT",
            label="Y",
            help="Where in the picture, for neuron: 0 is the top, 1 the bottom.",
            default=0.5,
            minimum=0,
            maximum=1,
            step=0.01,
            is_advanced=True,
        ),
        Input(
            name="weight",
            type="FLOAT",
            label="Weight",
            help="How much this term counts; a negative weight subtracts it.",
            default=1.0,
            minimum=-10_000,
            maximum=10_000,
            step=0.1,
        ),
        Input(
            name="expression",
            type="STRING",
            label="Expression",
            help=f"For the kind {EXPRESSION}: any sum, such as layer(eyes) - 0.5*channel(rings, "
            "12). Objectives of plug-ins are called in the same way.",
            default="",
            is_multiline=True,
        ),
        Input(
            name="add_to",
            type=OBJECTIVE,
            label="Add to",
            help="Another objective, to which this one is added.",
            is_optional=True,
        ),
    )


def _run(
    kind: str,
    weight: float = 1.0,
    expression: str = "",
    add_to: str | None = None,
    **arguments: Any,
) -> Result:
    from reverie.errors import ObjectiveError
    from reverie.grammar import parse_objective
    from reverie.plugins import find, registry

    factories = registry().objectives()
    if kind != EXPRESSION:
        term = make(find("objective", factories, kind), arguments)
    elif expression.strip():
        term = parse_objective(expression, factories)
    else:
        raise ObjectiveError(
            "expression: it is empty; write what to amplify, such as layer(eyes), "
            "or choose another kind."
        )
    total = _weighted(term, weight, None if add_to is None else parse_objective(add_to, factories))
    return Result((total.text,))


def make(factory: ObjectiveFactory[Any], given: dict[str, Any]) -> Objective:
    """Call a factory with what of layer, channel, x and y it takes.

    Its first text is the layer, its first whole number the channel, unless these have a default; x
    and y go by their names.

    Raises:
        ObjectiveError: it needs something else.
    """
    from reverie.errors import ObjectiveError

    sources = {"str": "layer", "int": "channel"}
    values: dict[str, Any] = {}
    for name, parameter in inspect.signature(factory.make).parameters.items():
        annotation = getattr(parameter.annotation, "__name__", parameter.annotation)
        source = name if name in {"x", "y"} else ""
        if not source and parameter.default in _NEEDED:
            source = sources.pop(str(annotation), "")
        if source in given:
            values[name] = given[source]
        elif parameter.default is parameter.empty:
            raise ObjectiveError(
                f"kind: {factory.name!r} needs {name!r}, which this node has no field for; choose "
                f"the kind {EXPRESSION!r} and write {factory.name}(...)."
            )
    return _in_short(factory, values)


def _in_short(factory: ObjectiveFactory[Any], values: dict[str, Any]) -> Objective:
    """Call a factory with what differs from its defaults, in the order of its arguments."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for name, parameter in inspect.signature(factory.make).parameters.items():
        if parameter.default in _NEEDED and name in values:
            positional.append(values[name])
        elif name in values and values[name] != parameter.default:
            named[name] = values[name]
    return factory(*positional, **named)


def _weighted(term: Objective, weight: float, before: Objective | None) -> Objective:
    """Give weight * term, or before + weight * term, written as one would by hand."""
    size = abs(weight)
    scaled = term if size == 1 else size * term
    if before is None:
        return -scaled if weight < 0 else scaled
    return before - scaled if weight < 0 else before + scaled


OBJECTIVE_NODE = Node(
    id="ReverieObjective",
    title="Reverie Objective",
    help="What to amplify: a layer, one channel of it, a single neuron, or any sum. Chain several "
    "to add them up with weights.",
    inputs=_inputs,
    outputs=(
        Output(
            type=OBJECTIVE,
            label="objective",
            help="The objective, for a node that dreams, or to be added to.",
        ),
    ),
    run=_run,
    aliases=("deepdream layer", "channel", "neuron", "feature visualization"),
)
