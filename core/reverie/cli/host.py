"""The command line as a Host record, like GIMP and ComfyUI."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from reverie.cli.options import control
from reverie.image import resized_alpha
from reverie.types import Host

if TYPE_CHECKING:
    from torch import Tensor

    from reverie.picture import Picture


def to_image(picture: Picture) -> Tensor:
    """Give a picture file's pixels as (1, 3, H, W) float32 in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(picture.pixels)).permute(2, 0, 1)[None]


def from_image(image: Tensor, like: Picture) -> Picture:
    """Give a picture with new pixels and the alpha, colour profile and metadata of `like`."""
    pixels = image[0].permute(1, 2, 0).contiguous().cpu().numpy()
    alpha = None if like.alpha is None else resized_alpha(like.alpha, pixels.shape[:2])
    return replace(like, values=pixels, alpha=alpha)


COMMAND_LINE = Host(
    name="command-line",
    summary="reverie dream photo.jpg: pictures and folders, with every setting as an option.",
    control=control,
    to_image=to_image,
    from_image=from_image,
)
