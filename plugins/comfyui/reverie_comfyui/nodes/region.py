"""Reverie Region: another objective in another place, in one dream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reverie_comfyui.description import OBJECTIVE, REGIONS, Input, Node, Output, Result

if TYPE_CHECKING:
    from torch import Tensor

    from reverie_comfyui.regions import Regions


def _inputs() -> tuple[Input, ...]:
    return (
        Input(
            name="mask",
            type="MASK",
            label="Mask",
            help="Where this objective is climbed: white takes it alone, grey blends it with the "
            "others. Any size; a batch of masks is used in turn.",
        ),
        Input(
            name="objective",
            type="STRING",
            label="Objective",
            help="What to amplify here: a layer's name, or a sum such as layer(eyes) + "
            "0.5*channel(rings, 7). Empty: the layer that suits the network best.",
            default="eyes",
        ),
        Input(
            name="reverie_objective",
            type=OBJECTIVE,
            label="Objective",
            help="What to amplify here, instead of the objective that is written.",
            is_optional=True,
        ),
        Input(
            name="regions",
            type=REGIONS,
            label="Regions",
            help="Other regions, to which this one is added. Where masks overlap to more than "
            "white, they share.",
            is_optional=True,
        ),
    )


def _run(
    mask: Tensor,
    objective: str = "eyes",
    reverie_objective: str | None = None,
    regions: Regions | None = None,
) -> Result:
    from reverie.grammar import parse_objective
    from reverie.plugins import registry
    from reverie_comfyui import images

    images.mask_for(mask, 0)  # what is no MASK is answered in this node
    text = objective if reverie_objective is None else reverie_objective
    if text.strip():
        text = parse_objective(text, registry().objectives()).text
    return Result(((*(regions or ()), (mask, text)),))


REGION = Node(
    id="ReverieRegion",
    title="Reverie Region",
    help="Another objective in another place: eyes in the sky, rings in the water, in one dream. "
    "Chain several.",
    inputs=_inputs,
    outputs=(
        Output(
            type=REGIONS,
            label="regions",
            help="The regions, for a node that dreams, or to be added to.",
        ),
    ),
    run=_run,
    aliases=("regional", "area objective", "masked objective", "deepdream region"),
)
