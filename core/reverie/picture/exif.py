"""EXIF as three directories of raw values, so that what a camera wrote is kept to the byte.

Pillow reads EXIF well but writes it anew with types guessed and letters beyond ASCII lost, and
tifffile writes no Exif directory at all. Both JPEG's block and a TIFF file are built of the same
parts (TIFF 6.0, section 2; Exif 2.3, 4.6), so one reader and one writer serve all formats.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Container

Directory: TypeAlias = dict[int, tuple[int, bytes]]
"""For each tag the type of its values, and the values as the file has them."""

SHORT, LONG, UNDEFINED = 3, 4, 7
ORIENTATION, MAKER_NOTE, USER_COMMENT, WIDTH, HEIGHT = 0x0112, 0x927C, 0x9286, 0xA002, 0xA003
ICC_PROFILE = 0x8773  # only in TIFF

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_CAMERA, _PLACE, _INTEROPERABILITY = 0x8769, 0x8825, 0xA005
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_PREFIX = b"Exif\0\0"
_ENTRY = 12  # bytes: tag, type, count, and the values or where they stand
_ROOM = 1 << 20  # bytes in one value and in one directory; JPEG has 64 kB for all

# Said by people and cameras; all else in the first directory describes the file it came from,
# which for TIFF includes where its strips lie.
_KEPT = {
    0x010E,  # ImageDescription
    0x010F,  # Make
    0x0110,  # Model
    ORIENTATION,
    0x0131,  # Software
    0x0132,  # DateTime
    0x013B,  # Artist
    0x013C,  # HostComputer
    0x4746,  # Rating
    0x8298,  # Copyright
    0x9C9B,  # XPTitle
    0x9C9C,  # XPComment
    0x9C9D,  # XPAuthor
    0x9C9E,  # XPKeywords
    0x9C9F,  # XPSubject
}


@dataclass
class Exif:
    """The directories worth keeping; all empty when a file has none."""

    order: str = "<"
    """The byte order of all values, as `struct` writes it."""
    picture: Directory = field(default_factory=dict)
    camera: Directory = field(default_factory=dict)
    place: Directory = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.picture or self.camera or self.place)

    def without(self, tag: int) -> Exif:
        """Give these directories less one tag of the camera's."""
        return replace(self, camera={t: v for t, v in self.camera.items() if t != tag})

    def number(self, kind: int, value: int) -> tuple[int, bytes]:
        """Give a SHORT or LONG for one of the directories."""
        return kind, struct.pack(self.order + ("H" if kind == SHORT else "I"), value)


def read_exif(file: IO[bytes]) -> Exif:
    """Read an Exif block or a TIFF file, from its start; damaged parts are left out."""
    file.seek(0)
    base = len(_PREFIX) if file.read(len(_PREFIX)) == _PREFIX else 0
    file.seek(base)
    order = _ORDERS.get(file.read(4))
    start = file.read(4)
    if order is None or len(start) < 4:  # noqa: PLR2004 - BigTIFF, or nothing at all
        return Exif()
    first = base + struct.unpack(order + "I", start)[0]
    picture = _directory(file, order, base, first, _KEPT | {_CAMERA, _PLACE})
    others = []
    for tag in (_CAMERA, _PLACE):
        kind, value = picture.pop(tag, (0, b""))
        there = _SIZES.get(kind) == len(value) == 4  # noqa: PLR2004 - bytes in a LONG
        at = base + struct.unpack(order + "I", value)[0] if there else None
        others.append({} if at is None else _directory(file, order, base, at, None))
    others[0].pop(_INTEROPERABILITY, None)  # a place in the old file
    return Exif(order, picture, *others)


def _directory(
    file: IO[bytes], order: str, base: int, start: int, wanted: Container[int] | None
) -> Directory:
    file.seek(start)
    head = file.read(2)
    count = struct.unpack(order + "H", head)[0] if len(head) == 2 else 0  # noqa: PLR2004
    block = file.read(count * _ENTRY)
    found: Directory = {}
    room = _ROOM
    for i in range(0, len(block) - _ENTRY + 1, _ENTRY):
        tag, kind, length, at = struct.unpack_from(order + "HHII", block, i)
        size = _SIZES.get(kind, 0) * length
        if not 0 < size <= room or (wanted is not None and tag not in wanted):
            continue
        values = block[i + 8 : i + 8 + size]
        if size > 4:  # noqa: PLR2004 - more than fits in the entry
            file.seek(base + at)
            values = file.read(size)
        if len(values) == size:
            found[tag] = kind, values
            room -= size
    return found


def exif_block(exif: Exif, limit: int | None = None) -> bytes | None:
    """Give the block for JPEG, WebP or PNG; None for no directories, or none that fit.

    Args:
        exif: the directories.
        limit: bytes the format can hold; first the maker's note, then all but a user comment
            gives way to it.
    """
    comment = {t: v for t, v in exif.camera.items() if t == USER_COMMENT}
    for part in (exif, exif.without(MAKER_NOTE), Exif(exif.order, camera=comment)):
        head = b"II*\0" if part.order == "<" else b"MM\0*"
        block = _PREFIX + _with_directories(head + bytes(4), {}, part)
        if part and (limit is None or len(block) <= limit):
            return block
    return None


def tiff_with(tiff: bytes, exif: Exif) -> bytes:
    """Add the directories to a whole TIFF file of `exif.order`; what the file says itself wins."""
    (start,) = struct.unpack_from(exif.order + "I", tiff, 4)
    (count,) = struct.unpack_from(exif.order + "H", tiff, start)
    entries: dict[int, bytes] = {}
    for i in range(start + 2, start + 2 + count * _ENTRY, _ENTRY):
        entries[struct.unpack_from(exif.order + "H", tiff, i)[0]] = tiff[i : i + _ENTRY]
    return _with_directories(tiff, entries, exif)


def _with_directories(file: bytes, entries: dict[int, bytes], exif: Exif) -> bytes:
    """Append a new first directory, of ready entries and `exif`, and let the header name it."""
    data = bytearray(file)
    picture = dict(exif.picture)
    for tag, directory in ((_CAMERA, exif.camera), (_PLACE, exif.place)):
        if directory:
            picture[tag] = exif.number(LONG, _append(data, {}, directory, exif.order))
    start = _append(data, entries, picture, exif.order)
    struct.pack_into(exif.order + "I", data, 4, start)
    return bytes(data)


def _append(data: bytearray, entries: dict[int, bytes], more: Directory, order: str) -> int:
    """Append a directory after its long values; give the place where it starts."""
    entries = dict(entries)
    for tag, (kind, values) in more.items():
        value = values.ljust(4, b"\0")
        if len(values) > 4:  # noqa: PLR2004 - more than fits in the entry
            data += bytes(len(data) % 2)  # each starts on an even byte
            value = struct.pack(order + "I", len(data))
            data += values
        head = struct.pack(order + "HHI", tag, kind, len(values) // _SIZES[kind])
        entries.setdefault(tag, head + value)
    data += bytes(len(data) % 2)
    start = len(data)
    data += struct.pack(order + "H", len(entries))
    for tag in sorted(entries):
        data += entries[tag]
    data += bytes(4)  # no further directory
    return start
