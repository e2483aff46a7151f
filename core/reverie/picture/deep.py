"""PNG and TIFF wider than 8 bits per channel, of which Pillow gives 8 in colour."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from reverie.picture.decode import (
    MAX_16_BITS,
    Array,
    Decoded,
    exif_of,
    grey_to_srgb,
    orientation_of,
    refuse_bad_size,
    true_dpi,
    unit,
)
from reverie.picture.exif import ICC_PROFILE, ORIENTATION, read_exif

if TYPE_CHECKING:
    import tifffile
    from PIL import ImageFile

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2  # TIFF 6.0, PhotometricInterpretation
_ASSOCIATED, _UNASSOCIATED = 1, 2  # TIFF 6.0, ExtraSamples
_X_RESOLUTION = 282  # TIFF tag
_WORD = 16  # bits


def is_deep_png(file: BinaryIO) -> bool:
    """Tell whether a file is a PNG of 16 bits per channel, by its header."""
    file.seek(0)
    header = file.read(25)
    return (
        header[:8] == b"\x89PNG\r\n\x1a\n" and header[12:16] == b"IHDR" and header[24:] == b"\x10"
    )


def is_tiff(file: BinaryIO) -> bool:
    """Tell whether a file is TIFF or BigTIFF, by its first bytes."""
    file.seek(0)
    return file.read(4) in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}


def decode_deep_png(image: ImageFile.ImageFile, file: BinaryIO) -> Decoded:
    """Decode a PNG of 16 bits, of which Pillow gives 8 in colour; `image` is its header."""
    import imagecodecs

    file.seek(0)
    values = np.asarray(imagecodecs.png_decode(file.read()))
    turn = orientation_of(image)  # decodes on, for chunks after the pixels
    alpha = None
    values = values.reshape(*values.shape[:2], -1)
    if values.shape[-1] in {2, 4}:  # grey or RGB, and alpha
        values, alpha = values[..., :-1], values[..., -1]
    if values.shape[-1] == 1:
        values = values[..., 0]
    values, icc = grey_to_srgb(values, image.info.get("icc_profile"))
    return Decoded(values, alpha, icc, exif_of(image), turn, true_dpi(image.info.get("dpi"), turn))


def decode_deep_tiff(file: BinaryIO) -> Decoded | None:
    """Decode the first page of a TIFF if its numbers are wider than 8 bits, grey or RGB.

    None for any other TIFF: Pillow reads it without loss, or says what is wrong.
    """
    import tifffile

    file.seek(0)
    try:
        with tifffile.TiffFile(file) as tiff:
            page = tiff.pages.first
            refuse_bad_size(page.imagewidth, page.imagelength)
            colour = page.photometric in {_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB}
            deep = page.dtype is not None and page.dtype.itemsize > 1 and page.dtype.kind in "uif"
            if not (colour and deep and page.imagedepth == 1):
                return None
            channels = math.ceil(page.samplesperpixel / 5)  # RGB, alpha, and one more are usual
            refuse_bad_size(page.imagewidth, page.imagelength * channels)
            raw = page.asarray()
            values, alpha, notes = _tiff_channels(page, raw)
            icc = page.tags.valueof(ICC_PROFILE)
            turn = page.tags.valueof(ORIENTATION, default=1)
            dpi = page.get_resolution("INCH") if _X_RESOLUTION in page.tags else None
    except tifffile.TiffFileError:
        return None
    exif = read_exif(file)
    values, icc = grey_to_srgb(values, icc)
    turn = turn if turn in range(1, 9) else 1
    return Decoded(values, alpha, icc, exif, turn, true_dpi(dpi, turn), notes)


def _tiff_channels(
    page: tifffile.TiffPage, raw: Array
) -> tuple[Array, Array | None, tuple[str, ...]]:
    if page.axes[0] == "S":  # one plane per channel
        raw = np.moveaxis(raw, 0, -1)
    raw = raw.reshape(page.imagelength, page.imagewidth, -1)
    colours = 3 if page.photometric == _RGB else 1
    extras = list(page.extrasamples)
    alpha_at = next((i for i, e in enumerate(extras) if e in {_ASSOCIATED, _UNASSOCIATED}), None)
    bits = page.bitspersample
    if raw.dtype == np.uint16 and bits < _WORD:  # a scanner's 12 bits
        raw = np.rint(raw * (MAX_16_BITS / (2**bits - 1))).astype(np.uint16)
    values, notes = unit(raw[..., :colours], stretch=colours == 1)
    if page.photometric == _WHITE_IS_ZERO:
        values = np.iinfo(np.uint16).max - values if values.dtype == np.uint16 else 1 - values
    alpha = None
    if alpha_at is not None:
        alpha, _ = unit(raw[..., colours + alpha_at], stretch=False)
        if alpha.dtype != np.uint16:
            alpha = np.rint(alpha * MAX_16_BITS).astype(np.uint16)
        if extras[alpha_at] == _ASSOCIATED:
            values = _unassociated(values, alpha)
    return (values[..., 0] if colours == 1 else values), alpha, notes


def _unassociated(values: Array, alpha: Array) -> Array:
    """Divide colours that were multiplied by alpha; both uint16, or `values` float 0..1."""
    share = np.maximum(alpha, 1)[..., None] / np.float32(MAX_16_BITS)
    most, kind = (MAX_16_BITS, np.uint16) if values.dtype == np.uint16 else (1, np.float32)
    undone: Array = np.minimum(values / share, np.float32(most))
    return (np.rint(undone) if kind is np.uint16 else undone).astype(kind)
