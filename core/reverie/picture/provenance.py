"""The record: how a picture was made, as JSON text inside its file.

PNG has a place for it, an iTXt chunk "reverie". The others have EXIF's UserComment, chosen over
XMP because every version of Pillow writes EXIF to JPEG and WebP, and most programs that save a
picture again carry EXIF along.
"""

from __future__ import annotations

import io
import struct
import zlib

from reverie.picture.exif import (
    HEIGHT,
    LONG,
    ORIENTATION,
    SHORT,
    UNDEFINED,
    USER_COMMENT,
    WIDTH,
    Exif,
    read_exif,
)

_MARK = "reverie "  # before the record: UserComment may be anybody's
_ASCII, _UNICODE = b"ASCII\0\0\0", b"UNICODE\0"  # Exif 2.3, 4.6.5, table 9


def exif_to_write(old: bytes | None, shape: tuple[int, ...], record: str | None) -> Exif:
    """Give what is to be said of a new file.

    Args:
        old: the Exif block to keep.
        shape: rows and columns of the new file, in px, upright.
        record: the text to add as UserComment, in place of any other.
    """
    exif = upright_exif(read_exif(io.BytesIO(old or b"")), shape)
    if record is not None:
        text = _MARK + record
        coded = _ASCII + text.encode("ascii") if text.isascii() else _unicode(text)
        exif.camera[USER_COMMENT] = UNDEFINED, coded
    return exif


def upright_exif(exif: Exif, shape: tuple[int, ...]) -> Exif:
    """Make EXIF say upright, and rows and columns of `shape` if it names any; give it back."""
    if ORIENTATION in exif.picture:
        exif.picture[ORIENTATION] = exif.number(SHORT, 1)
    for tag, length in ((HEIGHT, shape[0]), (WIDTH, shape[1])):
        if tag in exif.camera:
            exif.camera[tag] = exif.number(LONG, length)
    return exif


def record_of(exif: Exif) -> str | None:
    """Give the record in EXIF's UserComment, or None."""
    _, comment = exif.camera.get(USER_COMMENT, (UNDEFINED, b""))
    text = _text(comment[:8], comment[8:])
    return text[len(_MARK) :].rstrip("\0 ") if text.startswith(_MARK) else None


def _unicode(text: str) -> bytes:
    return _UNICODE + b"\xff\xfe" + text.encode("utf-16-le")


def _text(code: bytes, text: bytes) -> str:
    if code == _UNICODE:  # of either byte order, with and without a mark that says which
        for encoding in ("utf-16-le", "utf-16-be"):
            plain = text.decode(encoding, "replace").removeprefix("\ufeff")
            if plain.startswith(_MARK):
                return plain
    return text.decode("utf-8", "replace")


def png_chunks(
    *,
    icc: bytes | None,
    exif: bytes | None,
    dpi: tuple[float, float] | None,
    record: str | None,
) -> bytes:
    """Give the chunks that belong between a PNG's header and its pixels.

    Source: PNG specification, third edition, 11.3 (iCCP, iTXt, pHYs, eXIf).
    """
    chunks = b""
    if icc:
        chunks += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    if dpi:
        across, down = (round(value / 0.0254) for value in dpi)  # per metre
        chunks += _chunk(b"pHYs", struct.pack(">IIB", across, down, 1))
    if exif:
        chunks += _chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    if record is not None:  # keyword, not compressed, no language, no translated keyword
        chunks += _chunk(b"iTXt", b"reverie\0" + b"\0\0" + b"\0" + b"\0" + record.encode())
    return chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
