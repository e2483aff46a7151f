"""Arrays become picture files here: encoded as the name asks, written whole or not at all."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image

from reverie.errors import ImageError
from reverie.picture.exif import ICC_PROFILE, UNDEFINED, exif_block, tiff_with
from reverie.picture.files import check_place, save_whole
from reverie.picture.provenance import exif_to_write, png_chunks

if TYPE_CHECKING:
    from collections.abc import Callable

    from reverie.picture.decode import Array
    from reverie.picture.read import Picture

    _Parts: TypeAlias = tuple[bytes | memoryview, ...]  # one after the other, uncopied
    _Encoder: TypeAlias = Callable[[Array, "_Kept"], _Parts]


_LONGEST_SIDE = {".jpg": 65_535, ".jpeg": 65_535, ".webp": 16_383}  # px, by the formats' headers
_HOLD_DEEP = frozenset({".png", ".tif", ".tiff"})
_OPAQUE_ONLY = frozenset({".jpg", ".jpeg"})
_DEEP = 16  # bits per channel
_ROWS = 64
_PNG_HEADER = 33  # bytes: 8 of signature, 25 of IHDR; our chunks come next


def check_output(path: Path, *, overwrite: bool, like: Picture | None = None) -> None:
    """Find out before hours of work whether a picture can be written.

    Args:
        path: where to; .png, .jpg, .jpeg, .tif, .tiff or .webp.
        overwrite: whether a file that is there may be replaced.
        like: the picture the output will have the size and the transparency of.

    Raises:
        ImageError: what is in the way, and what to do.
    """
    path = Path(path)
    _encoder(path)
    if like is not None:
        _refuse_unfit(path, like.size, like.alpha)
    check_place(path, overwrite=overwrite)


def write_picture(
    path: Path,
    pixels: np.ndarray[Any, np.dtype[Any]],
    *,
    like: Picture | None = None,
    record: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a picture in the format its name asks for, whole or not at all.

    PNG and TIFF keep 16 bits; JPEG (quality 95, full colour resolution) and WebP (quality 95)
    have 8. JPEG has no transparency: a picture with any is refused, for its hidden colours would
    show. WebP has no resolution. Values are rounded to the nearest; outside 0..1 they are cut.

    Args:
        path: .png, .jpg, .jpeg, .tif, .tiff or .webp, in a folder that exists.
        pixels: (H, W, 3): any float type, 0..1, finite; or uint8 or uint16 over the full range.
        like: where depth, alpha, profile, EXIF and resolution come from; 8-bit sRGB without.
        record: JSON text to keep in the file; `read_record` gives it back.
        overwrite: replace a file that is there. Without it a file that appears meanwhile is
            safe, too.

    Raises:
        ImageError: `pixels` are not such an array or not of `like`'s size, the format cannot
            hold them, or the file cannot be written; nothing is left behind.
    """
    path = Path(path)
    encode = _encoder(path)
    kept = _Kept(record=record)
    if like is not None:
        kept = _Kept(like.icc, like.exif, like.dpi, record)
    alpha = None if like is None else like.alpha
    _refuse_wrong_pixels(pixels, alpha)
    _refuse_unfit(path, pixels.shape, alpha)
    check_place(path, overwrite=overwrite)
    ending = path.suffix.lower()
    deep = like is not None and like.depth == _DEEP and ending in _HOLD_DEEP
    try:
        values = _rounded(pixels, np.dtype(np.uint16 if deep else np.uint8))
        if alpha is not None and ending not in _OPAQUE_ONLY:
            values = np.dstack([values, _rounded(alpha, values.dtype)])
        data = encode(values, kept)
    except ImageError as error:
        raise ImageError(f"{path} {error}") from error
    except MemoryError as error:
        raise ImageError(f"{path} needs more memory than is free; close programs.") from error
    except (OSError, RuntimeError, ValueError, struct.error) as error:  # as the encoders fail
        raise ImageError(f"{path} cannot be made ({error}); try another format.") from error
    save_whole(data, path, overwrite=overwrite)


@dataclass(frozen=True)
class _Kept:
    """What goes into the file beside the pixels."""

    icc: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    record: str | None = None


def _rounded(values: Array, kind: np.dtype[Any]) -> Array:
    """Bring (H, W, ...) of floats in 0..1, uint8 or uint16 to uint8 or uint16."""
    if values.dtype == kind:
        return values
    white = 1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max
    scale = np.float32(np.iinfo(kind).max / white)
    result = np.empty(values.shape, kind)
    for start in range(0, len(values), _ROWS):  # few at a time: floats are four times as large
        part = np.clip(values[start : start + _ROWS], 0, white).astype(np.float32)
        part *= scale
        np.rint(part, out=part)
        result[start : start + _ROWS] = part
    return result


def _png(values: Array, kept: _Kept) -> _Parts:
    import imagecodecs

    exif = exif_block(exif_to_write(kept.exif, values.shape, None))
    chunks = png_chunks(icc=kept.icc, exif=exif, dpi=kept.dpi, record=kept.record)
    data = memoryview(imagecodecs.png_encode(values, level=6))
    return data[:_PNG_HEADER], chunks, data[_PNG_HEADER:]


def _jpeg(values: Array, kept: _Kept) -> _Parts:
    settings: dict[str, Any] = {"quality": 95, "subsampling": 0}
    if kept.dpi:
        settings["dpi"] = tuple(map(round, kept.dpi))
    return _by_pillow("JPEG", values, kept, settings, exif_limit=65_533)  # one segment's bytes


def _webp(values: Array, kept: _Kept) -> _Parts:
    # exact: colours under full transparency stay, for editors that show them again.
    return _by_pillow("WEBP", values, kept, {"quality": 95, "exact": True}, exif_limit=None)


def _by_pillow(
    kind: str, values: Array, kept: _Kept, settings: dict[str, Any], exif_limit: int | None
) -> _Parts:
    exif = exif_block(exif_to_write(kept.exif, values.shape, kept.record), exif_limit)
    if exif is None and kept.record is not None:
        raise ImageError("cannot hold a recipe this long; write a .png instead.")
    if exif:
        settings["exif"] = exif
    if kept.icc:
        settings["icc_profile"] = kept.icc
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind, **settings)
    return (file.getbuffer(),)


def _tiff(values: Array, kept: _Kept) -> _Parts:
    import tifffile

    exif = exif_to_write(kept.exif, values.shape, kept.record)
    if kept.icc:
        exif.picture[ICC_PROFILE] = UNDEFINED, kept.icc
    file = io.BytesIO()
    with tifffile.TiffWriter(file, byteorder="<" if exif.order == "<" else ">") as writer:
        writer.write(
            values,
            photometric="rgb",
            extrasamples=["unassalpha"] if values.shape[-1] == len("RGBA") else None,
            compression="zlib",
            predictor=True,
            resolution=kept.dpi,
            resolutionunit="INCH" if kept.dpi else None,
            metadata=None,
            software=False,
        )
    return (tiff_with(file.getvalue(), exif),)


_ENCODERS: dict[str, _Encoder] = {
    ".png": _png,
    ".jpg": _jpeg,
    ".jpeg": _jpeg,
    ".tif": _tiff,
    ".tiff": _tiff,
    ".webp": _webp,
}


def _encoder(path: Path) -> _Encoder:
    encode = _ENCODERS.get(path.suffix.lower())
    if encode is None:
        raise ImageError(f"{path}: reverie writes {', '.join(_ENCODERS)}; end the name in one.")
    return encode


def _refuse_wrong_pixels(pixels: Any, alpha: Array | None) -> None:
    known = isinstance(pixels, np.ndarray) and (
        pixels.dtype.kind == "f" or pixels.dtype in {np.dtype(np.uint8), np.dtype(np.uint16)}
    )
    if not known or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:  # noqa: PLR2004
        what = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels)
        raise ImageError(
            f"pixels are {what}; give an array (H, W, 3): floats in 0..1, uint8 or uint16."
        )
    if pixels.dtype.kind == "f" and not _is_finite(pixels):
        raise ImageError("pixels have NaN or infinity; give finite numbers, 0..1.")
    if alpha is not None and alpha.shape != pixels.shape[:2]:
        raise ImageError(
            f"pixels are {pixels.shape[:2]}, the alpha of `like` is {alpha.shape}; give both in "
            "one size."
        )


def _is_finite(pixels: Array) -> bool:
    starts = range(0, len(pixels), _ROWS)
    return all(np.isfinite(pixels[start : start + _ROWS]).all() for start in starts)


def _refuse_unfit(path: Path, shape: tuple[int, ...], alpha: Array | None) -> None:
    ending = path.suffix.lower()
    longest = _LONGEST_SIDE.get(ending)
    if longest and max(shape[:2]) > longest:
        raise ImageError(f"{path}: {ending} ends at {longest} pixels a side; write .png or .tif.")
    if ending in _OPAQUE_ONLY and alpha is not None and alpha.min() < np.iinfo(alpha.dtype).max:
        raise ImageError(f"{path}: JPEG has no transparency; write .png, .tif or .webp.")
