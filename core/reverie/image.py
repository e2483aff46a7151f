"""Pictures in memory: PIL images, numpy arrays and tensors to (N, 3, H, W) float32 and back.

A dream gives back the kind it was given. Files are read and written by picture/.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from reverie.engine.canvas import bands, belongs_in_file, empty, lives_in_file
from reverie.engine.octaves import resize
from reverie.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image

_log = logging.getLogger(__name__)

Restore = Callable[[Tensor], Any]
"""From (N, 3, H, W) float32 in 0..1 back to what the user gave."""

Array = np.ndarray[Any, Any]

_COLORS = 3
_LARGEST = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}
_STRAIGHT = {"La": "LA", "RGBa": "RGBA"}
"""Modes of PIL's whose colours are multiplied by alpha, and those to undo it."""
_RGB_FAMILY = ("RGB", "RGBA", "RGBX", "RGBa", "P", "PA")
"""Modes of PIL's whose colour profile describes what is given back, too."""


def to_tensor(image: Any, memory: int | None = None) -> tuple[Tensor, Restore]:
    """Bring a picture of any supported kind to a tensor, and say how to go back.

    Args:
        image: a PIL image of any mode; a numpy array (H, W), (H, W, 3 or 4) or (N, H, W, 3 or 4),
            uint8 or uint16 over the full range, or floating in 0..1; a tensor (N, 3, H, W) or
            (3, H, W), floating in 0..1. Grey pictures come back in colour, PIL images with 8 bits,
            as RGB or RGBA, because PIL has no deeper colours.
        memory: bytes that the dream may work in; pictures whose copies would take more than a
            quarter of it are kept in a file. None keeps all in memory.
    Returns:
        (N, 3, H, W) float32 on the CPU or the tensor's own device, a copy; and a function that
        turns such a tensor into the kind, dtype and shape that was given, with its alpha.
    Raises:
        ImageError: the kind, shape or dtype is not one of these, it is empty, or holds NaN.
    """
    if isinstance(image, Tensor):
        return _from_tensor(image, memory)
    if isinstance(image, np.ndarray):
        return _from_array(image, memory)
    if _is_pil(image):
        return _from_pil(image, memory)
    raise ImageError(
        f"a {type(image).__name__} is not a picture; give a PIL image, a numpy array (H, W, 3) "
        "or a tensor (N, 3, H, W)."
    )


def _from_tensor(image: Tensor, memory: int | None) -> tuple[Tensor, Restore]:
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
    _refuse_empty(batch.shape)
    pixels = _canvas((len(batch), _COLORS, *batch.shape[2:]), image.device, memory)
    for rows in bands(pixels):
        pixels[:, :, rows] = batch[:, :, rows].detach()
    _check(pixels)

    def restore(result: Tensor) -> Tensor:
        is_lent = lives_in_file(result)
        result = result.to(device=image.device, dtype=image.dtype, copy=is_lent)
        return result[0] if image.ndim == 3 else result  # noqa: PLR2004

    return pixels, restore


def _from_array(image: Array, memory: int | None = None) -> tuple[Tensor, Restore]:
    batch = image[..., None] if image.ndim == 2 else image  # noqa: PLR2004
    batch = batch[None] if batch.ndim == 3 else batch  # noqa: PLR2004
    if batch.ndim != 4 or batch.shape[3] not in {1, 3, 4}:  # noqa: PLR2004
        raise ImageError(
            f"an array of shape {image.shape} is not a picture; "
            "give (H, W), (H, W, 3), (H, W, 4) or (N, H, W, 3)."
        )
    largest = _largest(image.dtype)
    if largest is None:
        raise ImageError(
            f"an array of {image.dtype} is not a picture; give uint8, uint16, or floats in 0..1."
        )
    _refuse_empty(batch.shape)
    size = batch.shape[1:3]
    pixels = _canvas((len(batch), _COLORS, *size), torch.device("cpu"), memory)
    for rows in bands(pixels):
        pixels[:, :, rows] = _unit(batch[:, rows, :, :_COLORS], largest).permute(0, 3, 1, 2)
    if largest == 1:  # whole numbers are never NaN
        _check(pixels)
    alpha = batch[..., _COLORS] if batch.shape[3] > _COLORS else None

    def restore(result: Tensor) -> Array:
        given = _as_dtype(result, image.dtype)
        if alpha is not None:
            planes = [resized_alpha(plane, given.shape[1:3]) for plane in alpha]
            given = np.concatenate([given, np.stack(planes)[..., None]], axis=3)
        return given if image.ndim == 4 else given[0]  # noqa: PLR2004

    return pixels, restore


def _largest(dtype: np.dtype[Any]) -> int | None:
    """What white is in an array of this type; None if it does not hold pictures."""
    if np.issubdtype(dtype, np.floating):
        return 1
    return _LARGEST.get(dtype.newbyteorder("="))


def _unit(values: Array, largest: int) -> Tensor:
    """Bring 0..largest to 0..1, as a tensor of its own memory, whatever the array's layout."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32) / np.float32(largest))


def _canvas(shape: tuple[int, ...], device: torch.device, memory: int | None) -> Tensor:
    in_file = belongs_in_file(shape, memory, device)
    return empty(shape, like=torch.empty(0, device=device), in_file=in_file)


def _as_dtype(result: Tensor, dtype: np.dtype[Any]) -> Array:
    """Give (N, 3, H, W) in 0..1 as an array (N, H, W, 3) of a type that holds pictures."""
    count, channels, height, width = result.shape
    array = np.empty((count, height, width, channels), dtype)
    largest = _largest(dtype) or 1
    for rows in bands(result):
        values = result[:, :, rows].detach().cpu().permute(0, 2, 3, 1).numpy()
        array[:, rows] = np.rint(values.clip(0, 1) * largest) if largest > 1 else values
    return array


def resized_alpha(alpha: Array, size: tuple[int, ...]) -> Array:
    """Bring alpha, (H, W) of any dtype, to the (height, width) of a dream at another size."""
    if alpha.shape == size:
        return alpha
    values = torch.from_numpy(alpha.astype(np.float32))[None, None]
    values = torch.nn.functional.interpolate(values, size=size, mode="bilinear", antialias=True)
    levels = values[0, 0].numpy()
    return (np.rint(levels) if alpha.dtype.kind == "u" else levels).astype(alpha.dtype)


def _is_pil(image: Any) -> bool:
    return hasattr(image, "getbands") and hasattr(image, "convert")  # PIL need not be loaded


def _from_pil(image: Image.Image, memory: int | None) -> tuple[Tensor, Restore]:
    from PIL import Image

    values = _pil_values(image)
    pixels, restore_array = _from_array(values, memory)
    kept = ("exif", "dpi", "icc_profile") if image.mode in _RGB_FAMILY else ("exif", "dpi")

    def restore(result: Tensor) -> Image.Image:
        is_deep = values.dtype != np.uint8
        array = _as_dtype(result, np.dtype(np.uint8))[0] if is_deep else restore_array(result)
        dreamed = Image.fromarray(array)
        dreamed.info.update({key: image.info[key] for key in kept if key in image.info})
        return dreamed

    return pixels, restore


def _pil_values(image: Image.Image) -> Array:
    """Give any mode as (H, W, 3 or 4) uint8, or as (H, W) uint16 or float32 if it is deep grey."""
    mode = image.mode
    if mode == "F" or mode.startswith("I"):
        values = np.asarray(image)
        if mode == "I":  # 32 bits, in which Pillow keeps 16
            if values.size and not 0 <= values.min() <= values.max() <= _LARGEST[np.dtype("u2")]:
                raise ImageError(
                    f"a PIL image of mode I with values from {values.min()} to {values.max()} is "
                    "not a picture; give 0..65535."
                )
            values = values.astype(np.uint16)
        return values
    image = image.convert(_STRAIGHT.get(mode, mode))
    has_alpha = image.mode in {"LA", "PA", "RGBA"} or "transparency" in image.info
    return np.asarray(image.convert("RGBA" if has_alpha else "RGB"))


def to_mask(mask: Any, pixels: Tensor) -> Tensor:
    """Bring a mask to (N or 1, 1, H, W) float32 in 0..1 at the size and on the device of pictures.

    Args:
        mask: (H, W) or (N, H, W): a tensor or array, boolean, floating in 0..1, or uint8 or uint16
            (arrays) over the full range; or a PIL image, which selects where it is white.
        pixels: the pictures, (N, 3, H, W).
    Raises:
        ImageError: its kind, shape or dtype is another, or it holds NaN.
    """
    values = _mask_values(mask)
    shape = tuple(values.shape)
    values = values[None] if values.ndim == 2 else values  # noqa: PLR2004
    if values.ndim != 3 or len(values) not in {1, len(pixels)} or 0 in shape:  # noqa: PLR2004
        raise ImageError(
            f"a mask of shape {shape} does not fit {len(pixels)} picture(s); "
            "give (H, W) or one (H, W) for each picture."
        )
    if not torch.isfinite(values).all():
        raise ImageError("the mask holds NaN; replace it, for instance with torch.nan_to_num.")
    values = values.to(pixels.device).clamp_(0, 1)
    fitted = resize(values[:, None], (pixels.shape[2], pixels.shape[3])).clamp_(0, 1)
    if not lives_in_file(pixels):
        return fitted
    kept = empty(fitted.shape, like=pixels)
    for rows in bands(kept):
        kept[:, :, rows] = fitted[:, :, rows]
    return kept


def _mask_values(mask: Any) -> Tensor:
    """Give a mask of any kind as float32 in a memory of its own, white as 1."""
    if _is_pil(mask):
        values = _pil_values(mask)
        grey = _from_array(values)[0].mean(dim=1)
        if values.shape[2:] == (4,):  # where nothing is painted, nothing is white
            grey *= _unit(values[..., _COLORS], 255)
        return grey
    if isinstance(mask, np.ndarray):
        largest = 1 if mask.dtype == np.bool_ else _largest(mask.dtype)
        if largest not in {None, 1} and mask.size and mask.max() <= 1:
            largest = 1  # zeros and ones, as numpy and OpenCV users write masks
        if largest is not None:
            return _unit(mask, largest)
    if isinstance(mask, Tensor):
        is_bytes = mask.dtype is torch.uint8
        largest = 255 if is_bytes and mask.numel() and int(mask.max()) > 1 else 1
        if is_bytes or largest > 1 or mask.is_floating_point() or mask.dtype is torch.bool:
            return mask.detach().to(torch.float32, copy=True) / largest
    kind = getattr(mask, "dtype", None) or type(mask).__name__
    raise ImageError(f"a mask of {kind} is not one; give booleans, floats in 0..1, or uint8.")


def _refuse_empty(shape: tuple[int, ...]) -> None:
    if 0 in shape:
        raise ImageError(
            f"a picture of shape {tuple(shape)} is empty; there is nothing to dream on."
        )


def _check(pixels: Tensor) -> None:
    """Refuse what are no numbers, and warn of values far outside 0..1."""
    found = [torch.stack(pixels[:, :, rows].aminmax()) for rows in bands(pixels)]
    low, high = float(torch.stack(found).amin()), float(torch.stack(found).amax())
    if not (math.isfinite(low) and math.isfinite(high)):  # NaN is both the least and the largest
        parts = (pixels[:, :, rows] for rows in bands(pixels))
        count = sum(int((~torch.isfinite(part)).sum()) for part in parts)
        raise ImageError(
            f"the picture holds {count} values that are not numbers (NaN or infinity); "
            "replace them, for instance with torch.nan_to_num or numpy.nan_to_num."
        )
    if low < -1 or high > 2:  # noqa: PLR2004 - a little outside is what enlarging leaves
        _log.warning(
            "the picture has values from %g to %g; white is 1, and what is above is cut off.",
            low,
            high,
        )
