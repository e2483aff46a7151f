"""Reverie Dream: a picture in, its dream out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from reverie_comfyui import choosing, fields
from reverie_comfyui.description import RECIPE, REGIONS, Input, Node, Output, Result

if TYPE_CHECKING:
    from torch import Tensor

    from reverie.record import Record
    from reverie_comfyui.regions import Regions

_log = logging.getLogger(__name__)

IMAGE = Input(
    name="image",
    type="IMAGE",
    label="Image",
    help="The pictures to dream on; each of a batch dreams for itself. Alpha stays as it is.",
)
MASK = Input(
    name="mask",
    type="MASK",
    label="Mask",
    help="Where to dream: white dreams, black stays bit for bit. Any size; a batch of masks is "
    "used in turn. An empty mask leaves the picture alone.",
    is_optional=True,
)
GUIDE = Input(
    name="guide",
    type="IMAGE",
    label="Guide",
    help="A picture whose features are to appear: the objective guide(LAYER) looks at it. A plain "
    "layer, or none, becomes guide of that layer. A batch of guides is used in turn.",
    is_optional=True,
)
REGIONS_IN = Input(
    name="regions",
    type=REGIONS,
    label="Regions",
    help="Other objectives in other places, from Reverie Region; elsewhere the objective of this "
    "dream is climbed. Mask says besides where anything is dreamed at all.",
    is_optional=True,
)
RECIPE_OUT = Output(
    type=RECIPE,
    label="recipe",
    help="The recipe that was dreamed, with nothing left open; save it, or dream it again.",
)


def _inputs() -> tuple[Input, ...]:
    return (
        IMAGE,
        fields.preset_input(),
        *fields.recipe_inputs(),
        MASK,
        *choosing.LINKS,
        GUIDE,
        REGIONS_IN,
    )


def _run(
    image: Tensor,
    preset: str = fields.NO_PRESET,
    mask: Tensor | None = None,
    recipe: Record | None = None,
    reverie_network: str | None = None,
    reverie_objective: str | None = None,
    guide: Tensor | None = None,
    regions: Regions | None = None,
    **chosen: Any,
) -> Result:
    from reverie_comfyui.dreaming import dream_batch

    wanted = choosing.choose(
        preset,
        chosen,
        recipe=recipe,
        reverie_network=reverie_network,
        reverie_objective=reverie_objective,
    )
    if recipe is None and (notice := choosing.preset_notice(preset)):
        _log.info("%s: %s", preset, notice)
    return Result(dream_batch(image, wanted, mask=mask, guide=guide, regions=regions or ()))


DREAM = Node(
    id="ReverieDream",
    title="Reverie Dream",
    help="DeepDream: makes the picture climb towards what a network sees in it. Watch it grow in "
    "the node; Interrupt stops it within a step.",
    inputs=_inputs,
    outputs=(
        Output(
            type="IMAGE",
            label="image",
            help="The dream, at the picture's size or at the one that is set.",
        ),
        RECIPE_OUT,
    ),
    run=_run,
    aliases=("deepdream", "deep dream", "hallucinate", "psychedelic", "eyes"),
)
