"""Reverie Zoom: an endless zoom, each frame dreamed on the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reverie_comfyui import choosing, fields
from reverie_comfyui.description import Input, Node, Output, Result
from reverie_comfyui.nodes.dream import GUIDE, IMAGE, MASK, RECIPE_OUT, REGIONS_IN

if TYPE_CHECKING:
    from torch import Tensor

    from reverie.record import Record
    from reverie_comfyui.regions import Regions

MOST_FRAMES = 100_000
MOST_SHIFT = 10_000


def _inputs() -> tuple[Input, ...]:
    return (
        IMAGE,
        Input(
            name="preset",
            type="COMBO",
            label="Preset",
            help="The look of every frame; link a recipe for anything else.",
            default=fields.NO_PRESET,
            choices=fields.preset_input().choices,
        ),
        Input(
            name="frames",
            type="INT",
            label="Frames",
            help="How many frames each picture gives; the first is the picture itself, dreamed.",
            default=24,
            minimum=1,
            maximum=MOST_FRAMES,
            step=1,
        ),
        Input(
            name="fps",
            type="FLOAT",
            label="Frames a second",
            help="As the video will have it. The motion stays the same at any rate.",
            default=24.0,
            minimum=0.01,
            maximum=1000,
            step=1,
        ),
        Input(
            name="zoom",
            type="FLOAT",
            label="Zoom",
            help="How many times as large everything is after a second; below 1 zooms out.",
            default=1.5,
            minimum=0.01,
            maximum=100,
            step=0.05,
        ),
        Input(
            name="rotation",
            type="FLOAT",
            label="Rotation",
            help="How far the picture turns in a second, clockwise. In degrees.",
            default=0.0,
            minimum=-36_000,
            maximum=36_000,
            step=1,
        ),
        Input(
            name="shift_x",
            type="FLOAT",
            label="Shift X",
            help="How far the picture moves to the right in a second. In px.",
            default=0.0,
            minimum=-MOST_SHIFT,
            maximum=MOST_SHIFT,
            step=1,
        ),
        Input(
            name="shift_y",
            type="FLOAT",
            label="Shift Y",
            help="How far the picture moves down in a second. In px.",
            default=0.0,
            minimum=-MOST_SHIFT,
            maximum=MOST_SHIFT,
            step=1,
        ),
        MASK,
        *choosing.LINKS,
        GUIDE,
        REGIONS_IN,
    )


def _run(
    image: Tensor,
    preset: str = fields.NO_PRESET,
    frames: int = 24,
    fps: float = 24.0,
    zoom: float = 1.5,
    rotation: float = 0.0,
    shift_x: float = 0.0,
    shift_y: float = 0.0,
    mask: Tensor | None = None,
    recipe: Record | None = None,
    reverie_network: str | None = None,
    reverie_objective: str | None = None,
    guide: Tensor | None = None,
    regions: Regions | None = None,
) -> Result:
    from reverie_comfyui.motion import Motion
    from reverie_comfyui.zooming import dream_frames

    wanted = choosing.choose(
        preset,
        {},
        recipe=recipe,
        reverie_network=reverie_network,
        reverie_objective=reverie_objective,
    )
    motion = Motion(zoom=zoom, rotation=rotation, shift_x=shift_x, shift_y=shift_y)
    moves = [motion.between((k - 1) / fps, k / fps) for k in range(1, frames)]
    made = dream_frames(image, wanted, moves, mask=mask, guide=guide, regions=regions or ())
    return Result(made)


ZOOM = Node(
    id="ReverieZoom",
    title="Reverie Zoom",
    help="Falls into a dream: every frame is the one before, zoomed, turned and shifted a little, "
    "and dreamed again. Give the frames to Create Video.",
    inputs=_inputs,
    outputs=(
        Output(
            type="IMAGE", label="frames", help="The frames as a batch, one sequence after another."
        ),
        RECIPE_OUT,
    ),
    run=_run,
    aliases=("deepdream video", "infinite zoom", "dream zoom", "feedback loop"),
)
