"""From an opened file to plain arrays: every colour mode that Pillow has.

Errors raised and notes made here have no subject ("is ... pixels"): the caller puts the file's
name before them.
"""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from reverie.errors import ImageError
from reverie.picture.exif import ORIENTATION, Exif, read_exif

if TYPE_CHECKING:
    from PIL import Image, ImageFile

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

MAX_PIXELS = 400_000_000
"""Width x height above which a file is refused unread: its float pixels would take 4.8 GB."""

MAX_16_BITS = 65535
"""The white of 16 bits."""

_TURNED = range(5, 9)  # EXIF orientations in which rows and columns change places
_ICC_HEADER = 128  # bytes
_ROWS = 256


BROKEN = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    Warning,
    struct.error,
    zlib.error,
)
"""All that Pillow, tifffile and imagecodecs raise on damaged files; `Warning` only in programs in
which warnings are errors."""


@dataclass
class Decoded:
    """What a file holds, before it is turned upright."""

    values: Array
    """(H, W) grey or (H, W, 3): uint8, uint16, or float32 0..1."""
    alpha: Array | None
    """(H, W) uint8 or uint16."""
    icc: bytes | None
    exif: Exif
    orientation: int = 1
    """What is left to do to `values`, as EXIF numbers it: 1..8."""
    dpi: tuple[float, float] | None = None
    notes: tuple[str, ...] = field(default=())


def refuse_bad_size(width: int, height: int) -> None:
    """Raise `ImageError` for a picture without pixels, or with more than `MAX_PIXELS`."""
    if width < 1 or height < 1:
        raise ImageError(f"is {width} x {height} pixels; save it anew.")
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"is {width} x {height} pixels, more than the {MAX_PIXELS / 1e6:g} megapixels "
            "reverie reads; make it smaller."
        )


def is_grey(values: Array) -> bool:
    """Tell whether an array is (H, W), without channels."""
    return len(values.shape) == len("HW")


def as_floats(values: Array) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Give (H, W, 3) float32, 0..1, of grey or RGB in uint8, uint16 or float32 0..1."""
    if is_grey(values):
        values = np.repeat(values[..., None], 3, axis=2)
    if values.dtype == np.float32:
        return values
    pixels = values.astype(np.float32)
    pixels /= np.float32(np.iinfo(values.dtype).max)
    return pixels


def upright(values: Array, orientation: int) -> Array:
    """Turn (H, W, ...) as EXIF's orientation, 1..8, asks."""
    if orientation in _TURNED:
        values = values.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        values = values[::-1]
    if orientation in {2, 3, 6, 7}:
        values = values[:, ::-1]
    return np.ascontiguousarray(values)


def decode_image(image: ImageFile.ImageFile) -> Decoded:
    """Decode what Pillow opened, in any of its modes."""
    info = image.info
    turned = orientation_of(image) if image.format == "TIFF" else 1
    image.load()
    exif = exif_of(image)
    turn = orientation_of(image)  # 1 for TIFF, which Pillow turns itself
    icc = info.get("icc_profile")
    dpi = true_dpi(info.get("dpi"), max(turn, turned))
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        values, notes = unit(np.asarray(image), stretch=True)
        clear = info.get("transparency")
        alpha = (
            None if clear is None else np.where(values == clear, 0, MAX_16_BITS).astype(np.uint16)
        )
        values, icc = grey_to_srgb(values.astype(values.dtype.newbyteorder("=")), icc)
        return Decoded(values, alpha, icc, exif, turn, dpi, notes)
    flat, alpha = _without_alpha(image)
    if flat.mode not in {"RGB", "L", "CMYK", "LAB"}:
        flat = flat.convert("L" if flat.mode == "1" else "RGB")
    if flat.mode == "RGB":
        return Decoded(_as_array(flat), alpha, _icc_for("RGB ", icc), exif, turn, dpi)
    if flat.mode == "L" and not _icc_for("GRAY", icc):
        return Decoded(_as_array(flat), alpha, _icc_for("RGB ", icc), exif, turn, dpi)
    return Decoded(_as_array(_to_srgb(flat, icc)), alpha, None, exif, turn, dpi)


def _as_array(image: Image.Image) -> Array:
    """Copy an image of mode RGB or L out of Pillow, few rows at a time: at once it makes two."""
    width, height = image.size
    values = np.empty((height, width, 3) if image.mode == "RGB" else (height, width), np.uint8)
    for top in range(0, height, _ROWS):
        bottom = min(top + _ROWS, height)
        values[top:bottom] = np.asarray(image.crop((0, top, width, bottom)))
    return values


def _without_alpha(image: Image.Image) -> tuple[Image.Image, Array | None]:
    if image.mode not in {"LA", "La", "PA", "RGBA", "RGBa"} and "transparency" not in image.info:
        return image, None
    grey = image.mode in {"1", "L", "LA", "La"}
    whole = image.convert("LA" if grey else "RGBA")
    return whole.convert("L" if grey else "RGB"), np.asarray(whole.getchannel("A"))


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Convert L, CMYK or LAB by its profile; by Pillow's formula where there is none that works."""
    from PIL import ImageCms

    profile: ImageCms.ImageCmsProfile | None = None
    if image.mode == "LAB":
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    elif fitting := _icc_for("GRAY" if image.mode == "L" else "CMYK", icc):
        with suppress(OSError, ImageCms.PyCMSError):
            profile = ImageCms.ImageCmsProfile(io.BytesIO(fitting))
    if profile:
        with suppress(OSError, ValueError, ImageCms.PyCMSError):
            srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
            converted = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
            if converted is not None:
                return converted
    return image.convert("RGB")


def grey_to_srgb(values: Array, icc: bytes | None) -> tuple[Array, bytes | None]:
    """Apply a grey profile to uint16 grey; give the values and the profile that still holds."""
    grey = _icc_for("GRAY", icc)
    if grey and is_grey(values) and values.dtype == np.uint16:
        import imagecodecs
        from PIL import ImageCms

        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        with suppress(RuntimeError, ValueError, TypeError):  # a damaged profile changes nothing
            values = imagecodecs.cms_transform(
                np.ascontiguousarray(values),
                grey,
                srgb,
                colorspace="gray",
                outcolorspace="rgb",
                outdtype="uint16",
            )
    return values, _icc_for("RGB ", icc)


def _icc_for(space: str, icc: Any) -> bytes | None:
    """Give the profile if it is one for that colour space (ICC.1:2022, 7.2.8), else None."""
    whole = isinstance(icc, bytes) and len(icc) > _ICC_HEADER
    return icc if whole and icc[16:20] == space.encode().ljust(4) else None


def exif_of(image: ImageFile.ImageFile) -> Exif:
    """Give the EXIF of a file that Pillow has opened."""
    if image.format == "TIFF" and image.fp is not None:
        return read_exif(image.fp)
    block = image.info.get("exif")
    if not isinstance(block, bytes):  # a PNG of ImageMagick's, with EXIF in digits
        with suppress(*BROKEN):
            found = image.getexif()
            block = found.tobytes() if len(found) else None
    return read_exif(io.BytesIO(block or b""))


def orientation_of(image: ImageFile.ImageFile) -> int:
    """Give the orientation in EXIF or XMP, 1..8; 1 for none and for nonsense."""
    with suppress(*BROKEN):
        value = image.getexif().get(ORIENTATION)
        return value if isinstance(value, int) and value in range(1, 9) else 1
    return 1


def true_dpi(found: Any, orientation: int) -> tuple[float, float] | None:
    """Believe a resolution that could be true, and turn it with the picture."""
    with suppress(TypeError, ValueError, ZeroDivisionError, OverflowError):
        across, down = (float(value) for value in found)
        if min(across, down) >= 1 and max(across, down) <= MAX_16_BITS:  # what JPEG can say
            return (down, across) if orientation in _TURNED else (across, down)
    return None


def unit(values: Array, *, stretch: bool) -> tuple[Array, tuple[str, ...]]:
    """Bring numbers of any kind to uint16 or to float32 0..1, saying what was done.

    Args:
        values: any real numbers; uint16 stays as it is, 0..65535 in wider integers is that too.
        stretch: spread numbers outside the range from the smallest to the largest (measurements
            in grey); else cut them off (colour, whose white must stay white).
    """
    if values.dtype == np.uint16:
        return values, ()
    if values.dtype.kind in "ui":
        if values.min() >= 0 and values.max() <= MAX_16_BITS:
            return values.astype(np.uint16), ()
        if not stretch:  # the full range of their type
            values = np.maximum(values, 0) / np.float64(np.iinfo(values.dtype).max)
    finite = np.isfinite(values)
    if not finite.any():
        raise ImageError("has no finite pixel value; save it anew.")
    low, high = float(values[finite].min()), float(values[finite].max())
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    if low >= 0 and high <= 1:
        return values.astype(np.float32), ()
    if not stretch:
        note = f"has values from {low:g} to {high:g}; those outside 0..1 are cut off."
        return np.clip(values, 0, 1).astype(np.float32), (note,)
    note = f"has values from {low:g} to {high:g}; they are stretched to 0..1."
    span = (high - low) or 1.0
    return np.clip((values - low) / span, 0, 1).astype(np.float32), (note,)
