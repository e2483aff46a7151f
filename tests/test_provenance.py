"""The record and the EXIF of a picture survive writing, other programs, and damage."""

from __future__ import annotations

import json
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from reverie.errors import ImageError
from reverie.picture import Picture, read_picture, read_record, write_picture

if TYPE_CHECKING:
    from pathlib import Path

ENDINGS = ["png", "jpg", "tif", "webp"]
PIXELS = np.full((4, 6, 3), 0.5, np.float32)
RECORD = json.dumps({"version": 1, "network": "googlenet", "octaves": 4})
UNICODE = json.dumps({"objective": "Größe ✓ 🐶"}, ensure_ascii=False)

EXIF_IFD, GPS_IFD, USER_COMMENT, MAKER_NOTE = 0x8769, 0x8825, 0x9286, 0x927C


def camera(**more: Any) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "Käfer & Co"
    exif[0x0112] = 6
    exif[0x0111] = 12345  # StripOffsets: true only in the file it came from
    exif[0x4746] = 5
    exif[EXIF_IFD] = {
        0x9003: "2024:05:06 07:08:09",
        0x829A: (1, 250),
        0xA002: 999,
        MAKER_NOTE: b"secret " + b"x" * more.get("note", 10),
    }
    exif[GPS_IFD] = {1: "N", 2: (48.0, 8.0, 14.5)}
    return exif.tobytes()


def exif_of(path: Path) -> Image.Exif:
    exif = Image.Exif()
    exif.load(read_picture(path).exif or b"")
    return exif


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("record", [RECORD, UNICODE, "{}"])
@pytest.mark.parametrize("exif", [None, camera()])
def test_the_record_comes_back_from_every_format(
    tmp_path: Path, ending: str, depth: int, record: str, exif: bytes | None
) -> None:
    path = tmp_path / f"a.{ending}"
    like = Picture(PIXELS, depth=depth, exif=exif)
    write_picture(path, PIXELS, like=like, record=record)
    assert read_record(path) == record
    assert read_picture(path).pixels.shape == PIXELS.shape
    path.unlink()  # on Windows only a closed file can go


@pytest.mark.parametrize("ending", ENDINGS)
def test_pictures_without_a_record_have_none(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    exif = Image.Exif()
    exif[EXIF_IFD] = {USER_COMMENT: b"ASCII\0\0\0a comment of mine"}
    write_picture(path, PIXELS, like=Picture(PIXELS, exif=exif.tobytes()))
    assert read_record(path) is None
    assert exif_of(path).get_ifd(EXIF_IFD)[USER_COMMENT].endswith(b"of mine")


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("international", [True, False])
def test_the_record_survives_a_png_saved_again_by_pillow(
    tmp_path: Path, *, compressed: bool, international: bool
) -> None:
    write_picture(tmp_path / "a.png", PIXELS, record=RECORD)
    with Image.open(tmp_path / "a.png") as image:
        texts = PngImagePlugin.PngInfo()
        add = texts.add_itxt if international else texts.add_text
        add("reverie", image.info["reverie"], zip=compressed)
        image.save(tmp_path / "b.png", pnginfo=texts)
    assert read_record(tmp_path / "b.png") == RECORD


def test_the_record_is_found_after_the_pixels_of_a_png(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_picture(path, PIXELS)
    data = path.read_bytes()
    text = b"tEXtreverie\0" + RECORD.encode()
    late = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    path.write_bytes(data[:-12] + late + data[-12:])
    assert read_record(path) == RECORD


@pytest.mark.parametrize("target", ENDINGS)
def test_the_record_survives_programs_that_carry_exif_along(tmp_path: Path, target: str) -> None:
    write_picture(tmp_path / "a.jpg", PIXELS, record=UNICODE)
    with Image.open(tmp_path / "a.jpg") as image:
        image.save(tmp_path / f"b.{target}", exif=image.info["exif"])
    assert read_record(tmp_path / f"b.{target}") == UNICODE


@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + ("reverie " + UNICODE).encode("utf-16-be"),
        b"UNICODE\0" + ("reverie " + UNICODE).encode("utf-16-le"),
        b"UNICODE\0\xfe\xff" + ("reverie " + UNICODE).encode("utf-16-be"),
        b"UNICODE\0" + ("reverie " + UNICODE).encode(),
        b"ASCII\0\0\0" + ("reverie " + UNICODE).encode() + b"\0\0  ",
    ],
)
def test_comments_rewritten_by_other_programs_are_read(tmp_path: Path, comment: bytes) -> None:
    exif = Image.Exif()
    exif[EXIF_IFD] = {USER_COMMENT: comment}
    Image.new("RGB", (2, 2)).save(tmp_path / "a.jpg", exif=exif.tobytes())
    assert read_record(tmp_path / "a.jpg") == UNICODE


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("depth", [8, 16])
def test_what_the_camera_noted_is_kept_and_true(tmp_path: Path, ending: str, depth: int) -> None:
    source = tmp_path / "source.jpg"
    Image.new("RGB", (4, 6)).save(source, exif=camera())
    like = read_picture(source)
    assert like.pixels.shape == (4, 6, 3), "orientation 6 turned it"
    path = tmp_path / f"a.{ending}"
    deep = Picture(like.pixels, depth=depth, exif=like.exif)
    write_picture(path, like.pixels, like=deep, record=RECORD)
    exif = exif_of(path)
    assert exif.get(0x0112, 1) == 1
    assert exif[0x4746] == 5
    assert 0x0111 not in exif
    if ending != "tif":  # Pillow reads the text of TIFF as Latin-1
        assert exif[0x010F] == like_make(like)
    directory = exif.get_ifd(EXIF_IFD)
    assert directory[0x9003] == "2024:05:06 07:08:09"
    assert directory[0xA002] == 6, "the width is the new one"
    assert directory[MAKER_NOTE].startswith(b"secret")
    assert [float(v) for v in exif.get_ifd(GPS_IFD)[2]] == [48.0, 8.0, 14.5]


def like_make(like: Picture) -> Any:
    exif = Image.Exif()
    exif.load(like.exif or b"")
    return exif[0x010F]


def test_exif_too_long_for_jpeg_gives_way_to_the_record(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    like = Picture(PIXELS, exif=camera(note=65_400))
    write_picture(path, PIXELS, like=like, record=RECORD)
    assert read_record(path) == RECORD
    assert MAKER_NOTE not in exif_of(path).get_ifd(EXIF_IFD)
    assert 0x9003 in exif_of(path).get_ifd(EXIF_IFD)
    with pytest.raises(ImageError, match=r"recipe this long; write a \.png"):
        write_picture(tmp_path / "b.jpg", PIXELS, record=json.dumps("x" * 70_000))
    assert not (tmp_path / "b.jpg").exists()


def test_the_directories_of_a_deep_tiff_are_where_tifffile_looks(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    like = Picture(PIXELS, depth=16, exif=camera())
    write_picture(path, PIXELS, like=like, record=RECORD)
    with tifffile.TiffFile(path) as tiff:
        tags = tiff.pages.first.tags
        assert tags["ExifTag"].value["UserComment"].endswith('octaves": 4}')
        assert tags["GPSTag"].value["GPSLatitudeRef"] == "N"


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, to the program
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0garbage", b"Exif\0\0", camera()[:60]]
)
def test_damaged_exif_neither_crashes_nor_returns(tmp_path: Path, ending: str, exif: bytes) -> None:
    path = tmp_path / f"a.{ending}"
    write_picture(path, PIXELS, like=Picture(PIXELS, exif=exif), record=RECORD)
    assert read_record(path) == RECORD
    if ending in {"jpg", "webp"}:
        Image.new("RGB", (2, 2)).save(path, exif=exif)
        assert read_record(path) is None
        assert read_picture(path).pixels.shape == (2, 2, 3)


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no")
    with pytest.raises(ImageError, match=r"a\.png is not a picture"):
        read_record(tmp_path / "a.png")
