"""Pictures in memory: PIL images, numpy arrays and tensors to (N, 3, H, W) float32 and back.

A dream gives back the kind it was given. Files are read and written by picture.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from reverie.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image

Restore = Callable[[Tensor], Any]
"""From (N, 3, H, W) float32 in 0..1 back to what the user gave."""

Array = np.ndarray[Any, Any]

_COLORS = 3
_LARGEST = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


def to_tensor(image: Any) -> tuple[Tensor, Restore]:
    """Bring a picture of any supported kind to a tensor, and say how to go back.

    Args:
        image: a PIL image of any mode; a numpy array (H, W), (H, W, 3 or 4) or (N, H, W, 3 or 4),
            uint8 or uint16 over the full range, or floating in 0..1; a tensor (N, 3, H, W) or
            (3, H, W), floating in 0..1. Grey pictures come back in colour.
    Returns:
        (N, 3, H, W) float32 on the CPU or the tensor's own device, a copy; and a function that
        turns such a tensor into the kind, dtype and shape that was given, with its alpha.
    Raises:
        ImageError: the kind, shape or dtype is not one of these, it is empty, or holds NaN.
    """
    if isinstance(image, Tensor):
        return _from_tensor(image)
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if hasattr(image, "getbands") and hasattr(image, "convert"):
        return _from_pil(image)
    raise ImageError(
        f"a {type(image).__name__} is not a picture; give a PIL image, a numpy array (H, W, 3) "
        "or a tensor (N, 3, H, W)."
    )


def _from_tensor(image: Tensor) -> tuple[Tensor, Restore]:
    batch = image[None] if image.ndim == 3 else image  # noqa: PLR2004
    if batch.ndim != 4 or batch.shape[1] != _COLORS:  # noqa: PLR2004
        raise ImageError(
            f"a tensor of shape {tuple(image.shape)} is not a picture; "
            "give (N, 3, H, W) or (3, H, W)."
        )
    if not image.is_floating_point():
        raise ImageError(
            f"a tensor of {image.dtype} is not a picture; give a floating one in 0..1 "
            "(for bytes: tensor / 255)."
        )
    pixels = batch.detach().to(torch.float32, copy=True)
    _check(pixels)

    def restore(result: Tensor) -> Tensor:
        result = result.to(device=image.device, dtype=image.dtype)
        return result[0] if image.ndim == 3 else result  # noqa: PLR2004

    return pixels, restore


def _from_array(image: Array) -> tuple[Tensor, Restore]:
    largest = _LARGEST.get(image.dtype, 1)
    if largest == 1 and not np.issubdtype(image.dtype, np.floating):
        raise ImageError(
            f"an array of {image.dtype} is not a picture; give uint8, uint16, or floats in 0..1."
        )
    is_gray = image.ndim == 2  # noqa: PLR2004
    batch = image[..., None] if is_gray else image
    batch = batch[None] if batch.ndim == 3 else batch  # noqa: PLR2004
    if batch.ndim != 4 or batch.shape[3] not in {1, 3, 4}:  # noqa: PLR2004
        raise ImageError(
            f"an array of shape {image.shape} is not a picture; "
            "give (H, W), (H, W, 3), (H, W, 4) or (N, H, W, 3)."
        )
    colors = np.ascontiguousarray(batch[..., :_COLORS], dtype=np.float32) / np.float32(largest)
    pixels = torch.from_numpy(colors).permute(0, 3, 1, 2)
    pixels = pixels.expand(-1, _COLORS, -1, -1).contiguous().clone()
    _check(pixels)
    alpha = batch[..., _COLORS] if batch.shape[3] > _COLORS else None

    def restore(result: Tensor) -> Array:
        given = result.detach().cpu().permute(0, 2, 3, 1).numpy()
        if largest > 1:
            given = np.rint(given.clip(0, 1) * largest)
        given = given.astype(image.dtype)
        if alpha is not None:
            planes = [resized_alpha(plane, given.shape[1:3]) for plane in alpha]
            given = np.concatenate([given, np.stack(planes)[..., None]], axis=3)
        return given if image.ndim == 4 else given[0]  # noqa: PLR2004

    return pixels, restore


def resized_alpha(alpha: Array, size: tuple[int, ...]) -> Array:
    """Bring alpha, (H, W) of any dtype, to the (height, width) of a dream at another size."""
    if alpha.shape == size:
        return alpha
    values = torch.from_numpy(alpha.astype(np.float32))[None, None]
    values = torch.nn.functional.interpolate(values, size=size, mode="bilinear", antialias=True)
    levels = values[0, 0].numpy()
    return (np.rint(levels) if alpha.dtype.kind == "u" else levels).astype(alpha.dtype)


def _from_pil(image: Image.Image) -> tuple[Tensor, Restore]:
    from PIL import Image

    has_alpha = "A" in image.getbands() or "transparency" in image.info
    pixels, restore_array = _from_array(np.asarray(image.convert("RGBA" if has_alpha else "RGB")))

    def restore(result: Tensor) -> Image.Image:
        return Image.fromarray(restore_array(result))

    return pixels, restore


def to_mask(mask: Any, pixels: Tensor) -> Tensor:
    """Bring a mask to (N or 1, 1, H, W) float32 in 0..1 at the size and on the device of pictures.

    Args:
        mask: (H, W) or (N, H, W): a tensor or array, floating in 0..1 or uint8; or a PIL image.
        pixels: the pictures, (N, 3, H, W).
    Raises:
        ImageError: its shape is another, or it holds NaN.
    """
    if hasattr(mask, "getbands"):
        mask = np.asarray(mask.convert("L"))
    tensor = torch.as_tensor(mask).detach()
    levels = 1.0 if tensor.is_floating_point() or tensor.dtype is torch.bool else 255.0
    values = (tensor.to(pixels.device, torch.float32, copy=True) / levels).clamp(0, 1)
    values = values[None] if values.ndim == 2 else values  # noqa: PLR2004
    if values.ndim != 3 or len(values) not in {1, len(pixels)} or 0 in values.shape:  # noqa: PLR2004
        raise ImageError(
            f"a mask of shape {tuple(tensor.shape)} does not fit {len(pixels)} picture(s); "
            "give (H, W) or one (H, W) for each picture."
        )
    if not torch.isfinite(values).all():
        raise ImageError("the mask holds NaN; replace it, for instance with torch.nan_to_num.")
    size = tuple(pixels.shape[2:])
    if tuple(values.shape[1:]) == size:
        return values[:, None]
    return torch.nn.functional.interpolate(
        values[:, None], size=size, mode="bilinear", align_corners=False
    ).clamp(0, 1)


def _check(pixels: Tensor) -> None:
    if 0 in pixels.shape:
        raise ImageError(
            f"a picture of shape {tuple(pixels.shape)} is empty; there is nothing to dream on."
        )
    if not torch.isfinite(pixels).all():
        count = int((~torch.isfinite(pixels)).sum())
        raise ImageError(
            f"the picture holds {count} values that are not numbers (NaN or infinity); "
            "replace them, for instance with torch.nan_to_num or numpy.nan_to_num."
        )
