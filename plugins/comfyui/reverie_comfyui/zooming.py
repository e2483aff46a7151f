"""The feedback loop: every frame is the one before, moved a little and dreamed again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reverie_comfyui.dreaming import Film, dreamer
from reverie_comfyui.motion import warp

if TYPE_CHECKING:
    from torch import Tensor

    from reverie.recipe import Recipe
    from reverie.record import Record
    from reverie_comfyui.motion import Move
    from reverie_comfyui.regions import Regions

SEEDS = 2**64
"""So many there are; after the last comes 0."""


def dream_frames(
    image: Tensor,
    recipe: Recipe,
    moves: list[Move],
    *,
    mask: Tensor | None = None,
    guide: Tensor | None = None,
    regions: Regions = (),
) -> tuple[Tensor, Record]:
    """Dream a sequence of frames from each image of a batch.

    The first frame is the image itself, or what the recipe starts with in its place, dreamed; each
    further one is the frame before, moved and dreamed, with the next seed, so that no pattern of
    jitter stands still.

    Args:
        image: (B, H, W, C), left unchanged.
        recipe: dreamed in each frame.
        moves: from each frame to the next.
        mask: where to dream: (N, h, w) of any size; it stays where it is.
        guide: what a guided objective looks at, (N, h, w, C).
        regions: other objectives in other places; they stay where they are, too.
    Returns:
        (B * frames, H, W, C) float32 in 0..1 on ComfyUI's intermediate device; and their
        record.
    Raises:
        ReverieError: with a sentence for the user.
    """
    frames = len(moves) + 1
    count = len(image) * frames
    with dreamer(image, recipe, pictures=count, mask=mask, guide=guide, regions=regions) as one:
        made = Film(count)
        for index in range(len(image)):
            frame = one.dream(image[index : index + 1], index)
            made.add(frame)
            for number, move in enumerate(moves, start=1):
                seed = (recipe.seed + number) % SEEDS
                frame = one.dream(_moved(frame, move), index, seed=seed, start="picture")
                made.add(frame)
        return made.images(), one.record()


def _moved(image: Tensor, move: Move) -> Tensor:
    """Move an image, (1, H, W, C), and its alpha with it."""
    return warp(image.movedim(-1, 1).contiguous(), move).movedim(1, -1)
