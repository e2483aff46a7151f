"""IMAGE and MASK, as ComfyUI's nodes hand them on, and the engine's pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reverie.errors import ImageError

if TYPE_CHECKING:
    from torch import Tensor

COLOURS = 3
CHANNELS = frozenset({1, 3, 4})
"""Grey, red green blue, and with alpha."""


def check(image: Tensor) -> None:
    """Refuse what is no IMAGE.

    Raises:
        ImageError: its shape is another.
    """
    if image.ndim != 4 or image.shape[3] not in CHANNELS or 0 in image.shape:  # noqa: PLR2004 - B, H, W, C
        raise ImageError(
            f"an IMAGE of shape {tuple(image.shape)} is no picture; "
            "give [batch, height, width, 3], or 4 with alpha."
        )


def to_image(image: Any) -> Tensor:
    """Give an IMAGE, (B, H, W, 1, 3 or 4), as (B, 3, H, W) float32 in 0..1, a copy."""
    import torch

    colours = image[..., :COLOURS].movedim(-1, 1).to(torch.float32)
    copied: Tensor = colours.expand(-1, COLOURS, -1, -1).clamp(0, 1).contiguous()
    return copied


def from_image(image: Tensor, like: Any) -> Tensor:
    """Give (B, 3, H, W) as an IMAGE, with the alpha of `like`, at the new size if that differs."""
    import torch

    colours = image.detach().movedim(1, -1).to(torch.float32).clamp(0, 1)
    if like.shape[3] <= COLOURS:
        return colours.contiguous()
    alpha = fitted_alpha(like[..., COLOURS:], (colours.shape[1], colours.shape[2]))
    return torch.cat([colours, alpha.to(colours.device)], dim=3).contiguous()


def fitted_alpha(alpha: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring alpha, (B, H, W, 1), to a size in px; bit for bit where it has that size."""
    import torch

    alpha = alpha.to(torch.float32)
    if (alpha.shape[1], alpha.shape[2]) == size:
        return alpha
    from reverie.engine.octaves import resize

    return resize(alpha.movedim(-1, 1), size).clamp(0, 1).movedim(1, -1)


def mask_for(mask: Tensor | None, index: int) -> Tensor | None:
    """Give the mask of one picture of a batch, (H, W); few masks are used again and again.

    Raises:
        ImageError: it is no MASK.
    """
    if mask is None:
        return None
    masks = mask[None] if mask.ndim == 2 else mask  # noqa: PLR2004 - (H, W) alone
    if masks.ndim == 4 and masks.shape[1] == 1:  # noqa: PLR2004 - some nodes give (B, 1, H, W)
        masks = masks[:, 0]
    if masks.ndim != 3 or 0 in masks.shape:  # noqa: PLR2004 - B, H, W
        raise ImageError(
            f"a MASK of shape {tuple(mask.shape)} is none; give [batch, height, width]."
        )
    return masks[index % len(masks)]
