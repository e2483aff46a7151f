"""Picture files: what is read is right, what is written comes back, and faults are sentences."""

from __future__ import annotations

import errno
import io
import os
import struct
import sys
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from reverie.errors import ImageError
from reverie.picture import (
    Picture,
    check_output,
    find_pictures,
    free_name,
    read_picture,
    write_picture,
)

if TYPE_CHECKING:
    from pathlib import Path

needs_rights = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root and Windows ignore modes"
)


def colours(height: int = 6, width: int = 5, *, depth: int = 8, channels: int = 3) -> Any:
    kind = np.uint8 if depth == 8 else np.uint16
    rng = np.random.default_rng(depth + channels)
    return rng.integers(0, np.iinfo(kind).max, (height, width, channels), kind, endpoint=True)


def profile(space: str = "RGB ") -> bytes:
    if space == "GRAY":
        return bytes(imagecodecs.cms_profile("gray", gamma=1.0))
    icc = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    icc[16:20] = space.encode()
    return bytes(icc)


def integers(picture: Picture) -> Any:
    white = 2**picture.depth - 1
    return np.rint(picture.pixels * white).astype(np.uint8 if white == 255 else np.uint16)


def read_sentence(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read_picture(path)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert ";" in sentence, "it says what to do"
    assert "\n" not in sentence
    return sentence


# Reading


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "webp", "ppm", "tga", "jp2", "avif"])
def test_lossless_files_of_pillow_are_read_exactly(tmp_path: Path, ending: str) -> None:
    if f".{ending}" not in Image.registered_extensions():
        pytest.skip("this Pillow cannot")
    image = Image.fromarray(colours(16, 12))
    settings: dict[str, Any] = {"lossless": True} if ending == "webp" else {}
    image.save(tmp_path / f"a.{ending}", **settings)
    picture = read_picture(tmp_path / f"a.{ending}")
    assert picture.pixels.shape == (16, 12, 3)
    assert picture.pixels.dtype == np.float32
    assert (picture.depth, picture.alpha, picture.notes) == (8, None, ())
    if ending != "avif":
        assert np.array_equal(integers(picture), np.asarray(image))


MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_becomes_the_same_gradient(tmp_path: Path, mode: str) -> None:
    ramp = np.linspace(0, 255, 48, dtype=np.uint8).reshape(6, 8)
    if mode == "LAB":
        rgb = Image.fromarray(ramp).convert("RGB")
        lab = ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(rgb, ImageCms.createProfile("sRGB"), lab, outputMode=mode)
        assert image is not None
    elif mode == "I;16":
        image = Image.fromarray(ramp.astype(np.uint16) * 257)
    elif mode in {"I", "F"}:
        scaled: Any = ramp.astype(np.int32) * 257 if mode == "I" else np.float32(ramp / 255)
        image = Image.fromarray(scaled)
    else:
        through = "RGB" if mode == "YCbCr" else "L"
        image = Image.fromarray(ramp).convert(through).convert("P" if mode == "PA" else mode)
        image = image.convert(mode)
    path = tmp_path / "a.tif"
    if mode == "RGBX":
        tifffile.imwrite(path, np.asarray(image), photometric="rgb", extrasamples=[0])
    else:
        image.save(path, compression="tiff_lzw" if mode == "YCbCr" else None)
    picture = read_picture(path)
    expected = np.where(ramp > 127, 1, 0) if mode == "1" else ramp / 255
    if mode != "1":  # 1 is dithered
        tolerance = 3 / 255 if mode in {"LAB", "YCbCr"} else 1 / 255
        assert np.abs(picture.pixels - expected[..., None]).max() <= tolerance
    assert set(np.unique(picture.pixels)) <= {0, 1} or mode != "1"
    assert (picture.alpha is not None) == (mode in {"LA", "PA", "RGBA"})
    assert picture.depth == (16 if mode in {"I;16", "I", "F"} else 8)


def test_transparent_palettes_and_key_colours_become_alpha(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(tmp_path / "p.png", transparency=bytes([0, 128, 255]))
    image.save(tmp_path / "p.gif", transparency=1)
    Image.fromarray(np.array([[0, 9, 2]], np.uint8)).save(tmp_path / "l.png", transparency=9)
    data = bytes(imagecodecs.png_encode(np.array([[0, 900, 2]], np.uint16)))
    key = chunk(b"tRNS", struct.pack(">H", 900))
    (tmp_path / "i.png").write_bytes(data[:33] + key + data[33:])
    alphas = {p.name: read_picture(p).alpha for p in tmp_path.iterdir()}
    assert {name: a.tolist()[0] for name, a in alphas.items() if a is not None} == {
        "p.png": [0, 128, 255],
        "p.gif": [255, 0, 255],
        "l.png": [255, 0, 255],
        "i.png": [65535, 0, 65535],
    }


def test_numbers_beyond_the_range_are_stretched_or_cut_with_a_note(tmp_path: Path) -> None:
    path = tmp_path / "height.tif"
    tifffile.imwrite(path, np.array([[-10, 0], [np.nan, 30]], np.float32))
    picture = read_picture(path)
    assert picture.pixels[..., 0].tolist() == [[0, 0.25], [0, 1]]
    assert picture.notes == ("height.tif has values from -10 to 30; they are stretched to 0..1.",)
    tifffile.imwrite(path, np.full((2, 2, 3), 2, np.float32), photometric="rgb")
    assert read_picture(path).pixels.max() == 1
    assert "cut off" in read_picture(path).notes[0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "deep.png", "deep.tif"])
def test_orientation_is_applied_once(tmp_path: Path, name: str, orientation: int) -> None:
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :24, 0] = upright[16:, 24:, 1] = upright[:16, 24:] = 255
    undo = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}[orientation]
    turned = Image.fromarray(upright)
    methods = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # of Image.transpose, by orientation
    if undo != 1:
        turned = turned.transpose(Image.Transpose(methods[undo]))
    stored = np.asarray(turned)
    path = tmp_path / name
    exif = Image.Exif()
    exif[0x0112] = orientation
    if name == "deep.tif":
        tags = [(274, 3, 1, orientation, True)]
        stored = stored.astype(np.uint16) * 257
        tifffile.imwrite(path, stored, photometric="rgb", extratags=tags, resolution=(100, 200))
        with tifffile.TiffFile(path, mode="r+") as tiff:
            tiff.pages.first.tags[296].overwrite(2)
    elif name == "deep.png":
        deep = np.ascontiguousarray(stored.astype(np.uint16) * 257)
        data = bytes(imagecodecs.png_encode(deep))
        more = chunk(b"eXIf", exif.tobytes()[6:]) + chunk(
            b"pHYs", struct.pack(">2IB", 3937, 7874, 1)
        )
        path.write_bytes(data[:33] + more + data[33:])
    else:
        turned.save(path, exif=exif, dpi=(100, 200), quality=95, subsampling=0)
    picture = read_picture(path)
    assert np.abs(picture.pixels * 255 - upright).max() < 60
    assert picture.dpi == pytest.approx((200, 100) if orientation > 4 else (100, 200), abs=0.1)
    kept = Image.Exif()
    kept.load(picture.exif or b"")
    assert kept.get(0x0112, 1) == 1


@pytest.mark.parametrize("space", ["GRAY", "CMYK"])
@pytest.mark.parametrize("depth", [8, 16])
def test_grey_and_cmyk_profiles_are_applied_or_dropped_never_kept(
    tmp_path: Path, space: str, depth: int
) -> None:
    if space == "CMYK":
        image = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
        expected: Any = [1, 0, 0]
    else:  # a linear grey: half the light is 0.735 of sRGB's range
        image = Image.fromarray(np.full((4, 4), 128 if depth == 8 else 32896, f"u{depth // 8}"))
        expected = [0.735] * 3
    image.save(tmp_path / "a.tif", icc_profile=profile(space))
    picture = read_picture(tmp_path / "a.tif")
    assert picture.icc is None
    assert picture.pixels[0, 0] == pytest.approx(expected, abs=0.01)
    write_picture(tmp_path / "b.png", picture.pixels, like=picture)
    assert b"iCCP" not in (tmp_path / "b.png").read_bytes()


def test_cmyk_with_a_profile_goes_through_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []

    def convert(image: Image.Image, *profiles: object, **settings: Any) -> Image.Image:
        used.append(f"{len(profiles)} profiles, {settings['outputMode']}")
        return Image.new("RGB", image.size, (1, 2, 3))

    monkeypatch.setattr(ImageCms, "profileToProfile", convert)
    path = tmp_path / "a.jpg"
    Image.new("CMYK", (4, 4)).save(path, icc_profile=profile("CMYK"))
    assert integers(read_picture(path))[0, 0].tolist() == [1, 2, 3]
    assert used == ["2 profiles, RGB"]


@pytest.mark.parametrize(
    ("name", "photometric", "planar"),
    [("white", "miniswhite", None), ("grey", "minisblack", None), ("planes", "rgb", "separate")],
)
def test_16_bit_tiffs_of_every_layout_are_read_exactly(
    tmp_path: Path, name: str, photometric: Any, planar: Any
) -> None:
    values = colours(depth=16)
    stored = values if planar else values[..., 0]
    data = np.moveaxis(stored, -1, 0) if planar else stored
    path = tmp_path / f"{name}.tif"
    tifffile.imwrite(path, data, photometric=photometric, planarconfig=planar)
    read = integers(read_picture(path))
    expected = 65535 - stored if photometric == "miniswhite" else stored
    assert np.array_equal(read if planar else read[..., 0], expected)


def test_premultiplied_tiff_colours_are_divided_by_alpha(tmp_path: Path) -> None:
    values = np.array([[[1000, 2000, 3000, 32768], [0, 0, 0, 0]]], np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values, photometric="rgb", extrasamples=["assocalpha"])
    picture = read_picture(path)
    assert integers(picture)[0].tolist() == [[2000, 4000, 6000], [0, 0, 0]]
    assert picture.alpha is not None
    assert picture.alpha[0].tolist() == [32768, 0]


def test_animations_give_the_first_frame_and_a_note(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), c) for c in ("red", "lime", "blue")]
    frames[0].save(tmp_path / "holiday.gif", save_all=True, append_images=frames[1:])
    picture = read_picture(tmp_path / "holiday.gif")
    assert integers(picture)[0, 0].tolist() == [255, 0, 0]
    assert picture.notes == ("holiday.gif has 3 frames; only the first is used.",)


# Bad input


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int, depth: int = 8) -> bytes:
    header = struct.pack(">2I5B", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def huge_tiff(kind: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((4, 4, 3), kind), photometric="rgb")
    file.seek(0)
    with tifffile.TiffFile(file, mode="r+") as tiff:
        for tag in (256, 257):
            tiff.pages.first.tags[tag].overwrite(60000)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("notes.png", b"Dear diary, today I dreamed of dogs.", "is not a picture"),
        ("empty.jpg", b"", "is empty (0 bytes)"),
        ("bomb.png", png_header(60000, 60000), "60000 x 60000 pixels, more than the 400 mega"),
        ("deepbomb.png", png_header(60000, 60000, 16), "60000 x 60000 pixels"),
        ("bomb.tif", huge_tiff(np.uint8), "60000 x 60000 pixels"),
        ("deepbomb.tif", huge_tiff(np.uint16), "60000 x 60000 pixels"),
        ("nothing.png", png_header(0, 7), "; "),
        ("hollow.png", png_header(5, 5), "damaged"),
        ("stub.png", b"\x89PNG\r\n\x1a\n", "damaged"),
        ("stub.jpg", b"\xff\xd8\xff\xe0", "damaged"),
        ("stub.tif", b"II*\0\x08\0\0\0", "damaged"),
    ],
)
def test_bad_files_are_named_in_one_sentence(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert said in read_sentence(path)
    path.unlink()  # on Windows only a closed file can go


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp", "deep.png", "deep.tif"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_files_cut_short_are_called_damaged(tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / name
    like = Picture(np.zeros((1, 1, 3), np.float32), depth=16 if "deep" in name else 8)
    write_picture(path, (colours(64, 64) / 255), like=like)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert "damaged" in read_sentence(path)


def test_random_damage_never_raises_anything_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "a"
    exif = Image.Exif()
    exif[0x010F] = "camera"
    exif[0x8769] = {0x9286: b"ASCII\0\0\0hello"}
    for ending in ("jpg", "png", "tif", "webp", "gif"):
        whole = tmp_path / f"whole.{ending}"
        settings: dict[str, Any] = {} if ending == "gif" else {"exif": exif.tobytes()}
        Image.fromarray(colours(16, 16)).save(whole, **settings)
        for _ in range(40):
            data = bytearray(whole.read_bytes())
            for place in rng.integers(4, len(data), 6):
                data[place] = rng.integers(256)
            path.write_bytes(data)
            try:
                read_picture(path)
            except ImageError as error:
                assert str(path) in str(error)  # noqa: PT017 - many inputs may be readable


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    assert "does not exist" in read_sentence(tmp_path / "gone.png")
    assert "is a folder" in read_sentence(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert "is not a file" in read_sentence(tmp_path / "pipe.png")


@needs_rights
def test_unreadable_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (2, 2)).save(path)
    path.chmod(0)
    assert "may not be read" in read_sentence(path)


def test_large_pictures_do_not_meet_pillows_own_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    Image.fromarray(colours()).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").pixels.shape == (6, 5, 3)
    assert Image.MAX_IMAGE_PIXELS == 4


def test_warning_filters_are_let_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are one list for the whole process: other threads would miss their own warnings."""

    class Watched(list[object]):
        def __setitem__(self, *_: object) -> None:
            raise AssertionError

        insert = append = __setitem__

    Image.fromarray(colours()).save(tmp_path / "a.png")
    watched = Watched(warnings.filters)
    monkeypatch.setattr(warnings, "filters", watched)
    read_picture(tmp_path / "a.png")
    assert warnings.filters is watched


# Writing


@pytest.mark.parametrize("ending", ["png", "tif", "tiff"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("size", [(6, 5), (1, 1)])
def test_lossless_formats_give_back_depth_alpha_profile_and_resolution(
    tmp_path: Path, ending: str, depth: int, channels: int, size: tuple[int, int]
) -> None:
    values = colours(*size, depth=depth, channels=channels)
    alpha = values[..., 3] if channels == 4 else None
    pixels = values[..., :3].astype(np.float32) / (2**depth - 1)
    like = Picture(pixels, alpha, depth, icc=profile(), dpi=(300, 150))
    path = tmp_path / f"a.{ending}"
    write_picture(path, pixels, like=like)
    again = read_picture(path)
    assert np.array_equal(integers(again), values[..., :3])
    assert (again.depth, again.icc) == (depth, like.icc)
    assert again.dpi == pytest.approx(like.dpi, abs=0.02)
    assert (again.alpha is None) == (alpha is None)
    if alpha is not None and again.alpha is not None:
        assert again.alpha.dtype == alpha.dtype
        assert np.array_equal(again.alpha, alpha)
    write_picture(path, again.pixels, like=again, overwrite=True)
    assert np.array_equal(integers(read_picture(path)), values[..., :3])
    with Image.open(path) as image:  # others can read it, too
        image.load()
        assert image.size == size[::-1]


@pytest.mark.parametrize("source", ["png", "tif"])
def test_16_bit_files_of_other_programs_come_back_identical(tmp_path: Path, source: str) -> None:
    values = colours(depth=16, channels=4)
    path = tmp_path / f"a.{source}"
    if source == "png":
        path.write_bytes(imagecodecs.png_encode(values))
    else:
        tifffile.imwrite(
            path, values, photometric="rgb", extrasamples=["unassalpha"], byteorder=">"
        )
    picture = read_picture(path)
    write_picture(tmp_path / "b.png", picture.pixels, like=picture)
    written = imagecodecs.png_decode((tmp_path / "b.png").read_bytes())
    assert np.array_equal(written, values)


@pytest.mark.parametrize("ending", ["jpg", "jpeg", "webp", "JPG"])
def test_lossy_formats_keep_the_look_the_profile_and_the_exif(tmp_path: Path, ending: str) -> None:
    pixels = np.tile(np.linspace(0, 1, 32, dtype=np.float32)[:, None, None], (1, 48, 3))
    exif = Image.Exif()
    exif[0x010F] = "camera"
    like = Picture(pixels, depth=16, icc=profile(), exif=exif.tobytes(), dpi=(72, 72))
    path = tmp_path / f"a.{ending}"
    write_picture(path, pixels, like=like)
    again = read_picture(path)
    assert np.abs(again.pixels - pixels).max() < 0.03
    assert (again.depth, again.icc) == (8, like.icc)
    assert b"camera" in (again.exif or b"")
    assert again.dpi == (None if ending == "webp" else (72, 72))


def test_jpeg_keeps_colour_at_full_resolution(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.jpg", colours(16, 16) / 255)
    with Image.open(tmp_path / "a.jpg") as image:
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}  # type: ignore[attr-defined]


def test_webp_keeps_alpha_exactly(tmp_path: Path) -> None:
    values = colours(16, 16, channels=4)
    pixels = values[..., :3] / np.float32(255)
    write_picture(tmp_path / "a.webp", pixels, like=Picture(pixels, values[..., 3]))
    alpha = read_picture(tmp_path / "a.webp").alpha
    assert alpha is not None
    assert np.array_equal(alpha, values[..., 3])


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_jpeg_refuses_transparency_but_not_an_opaque_alpha(tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "a.jpg"
    alpha = np.full((6, 5), np.iinfo(kind).max, kind)
    pixels = np.zeros((6, 5, 3), np.float32)
    write_picture(path, pixels, like=Picture(pixels, alpha))
    alpha[2, 2] -= 1
    like = Picture(pixels, alpha)
    with pytest.raises(ImageError, match=r"no transparency; write \.png"):
        write_picture(tmp_path / "b.jpg", pixels, like=like)
    with pytest.raises(ImageError, match=r"no transparency; write \.png"):
        check_output(tmp_path / "b.jpg", overwrite=False, like=like)
    assert [p.name for p in tmp_path.iterdir()] == ["a.jpg"]


def test_values_are_rounded_and_cut(tmp_path: Path) -> None:
    row = np.array([-1, 0.4, 0.6, 1.4, 254.4, 254.6, 255, 300]) / 255
    write_picture(tmp_path / "a.png", np.dstack([row[None]] * 3))
    with Image.open(tmp_path / "a.png") as image:
        assert np.asarray(image)[0, :, 0].tolist() == [0, 0, 1, 1, 254, 255, 255, 255]


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.zeros((2, 2, 3), np.int32), "int32"),
        (np.zeros((2, 2, 4)), "(2, 2, 4)"),
        (np.zeros((0, 2, 3)), "(0, 2, 3)"),
        (np.full((2, 2, 3), np.nan), "NaN"),
        ([[0.5]], "list"),
        (np.zeros((3, 2, 3)), "in one size"),
    ],
)
def test_wrong_pixels_are_named(tmp_path: Path, pixels: Any, said: str) -> None:
    like = Picture(np.zeros((2, 2, 3), np.float32), np.zeros((2, 2), np.uint8))
    with pytest.raises(ImageError) as caught:
        write_picture(tmp_path / "a.png", pixels, like=like)
    assert said in str(caught.value)


@pytest.mark.parametrize("ending", ["jpg", "webp"])
def test_sides_too_long_for_a_format_are_known_beforehand(tmp_path: Path, ending: str) -> None:
    like = Picture(np.zeros((70_000, 1, 3), np.float32))
    with pytest.raises(ImageError, match=r"pixels a side; write \.png or \.tif"):
        check_output(tmp_path / f"a.{ending}", overwrite=False, like=like)


# The file system

PIXELS = np.zeros((2, 2, 3), np.float32)


@pytest.mark.parametrize("do", ["check", "write"])
def test_an_output_that_cannot_be_is_a_sentence(tmp_path: Path, do: str) -> None:
    def said(path: Path) -> str:
        with pytest.raises(ImageError) as caught:
            check_output(path, overwrite=False) if do == "check" else write_picture(path, PIXELS)
        assert str(path) in str(caught.value) or str(path.parent) in str(caught.value)
        return str(caught.value)

    (tmp_path / "folder.png").mkdir()
    (tmp_path / "there.png").write_bytes(b"mine")
    assert ".png, .jpg, .jpeg, .tif, .tiff, .webp" in said(tmp_path / "a.gif")
    assert ".png, .jpg" in said(tmp_path / "a")
    assert "is a folder" in said(tmp_path / "folder.png")
    assert "already there" in said(tmp_path / "there.png")
    assert "does not exist; create it" in said(tmp_path / "gone" / "a.png")
    assert "does not exist; create it" in said(tmp_path / "there.png" / "a.png")
    assert (tmp_path / "there.png").read_bytes() == b"mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.png", "there.png"]


def test_check_output_leaves_nothing_behind(tmp_path: Path) -> None:
    check_output(tmp_path / "a.PNG", overwrite=False)
    assert not list(tmp_path.iterdir())


@needs_rights
def test_folders_and_files_without_write_permission_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_picture(path, PIXELS)
    path.chmod(0o444)
    with pytest.raises(ImageError, match="write-protected"):
        check_output(path, overwrite=True)
    tmp_path.chmod(0o555)
    with pytest.raises(ImageError, match="may not be written"):
        check_output(tmp_path / "b.png", overwrite=False)
    tmp_path.chmod(0o755)


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "disk is full"), (errno.EACCES, "may not be written"), (errno.EIO, "cannot")],
)
def test_a_failing_disk_is_a_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    path = tmp_path / "a.png"
    write_picture(path, PIXELS)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ImageError, match=said):
        write_picture(path, PIXELS + 1, overwrite=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, links: bool
) -> None:
    path = tmp_path / "a.png"
    fsync = os.fsync

    def appear(descriptor: int) -> None:
        fsync(descriptor)
        path.write_bytes(b"mine")

    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    write_picture(tmp_path / "first.png", PIXELS)
    assert read_picture(tmp_path / "first.png").pixels.shape == (2, 2, 3)
    monkeypatch.setattr(os, "fsync", appear)
    with pytest.raises(ImageError, match="already there"):
        write_picture(path, PIXELS)
    assert path.read_bytes() == b"mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "first.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_written_files_honour_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_picture(tmp_path / "a.png", PIXELS)
    finally:
        os.umask(before)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_overwriting_a_link_replaces_what_it_points_to(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", PIXELS)
    (tmp_path / "link.png").symlink_to("a.png")
    write_picture(tmp_path / "link.png", PIXELS + 1, overwrite=True)
    assert (tmp_path / "link.png").is_symlink()
    assert read_picture(tmp_path / "a.png").pixels.min() == 1


def test_free_names_count_up(tmp_path: Path) -> None:
    path = tmp_path / "photo.dream.png"
    for expected in ("photo.dream.png", "photo.dream-2.png", "photo.dream-3.png"):
        assert free_name(path).name == expected
        free_name(path).touch()


def test_folders_and_patterns_stand_for_their_pictures(tmp_path: Path) -> None:
    for name in (
        *("10.jpg", "2.JPG", "1.png", "b.dreamer.webp", "notes.txt", "drawing.eps"),
        *("1.dream.png", "1.dream-2.png", "2.dream.jpg", ".hidden.png", "._2.jpg"),
    ):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    in_order = ["1.png", "2.JPG", "10.jpg", "b.dreamer.webp"]
    assert [p.name for p in find_pictures([tmp_path])] == in_order
    named = tmp_path / "1.dream.png"
    again = [named, tmp_path, tmp_path / "10.jpg"]
    assert [p.name for p in find_pictures(again)] == ["1.dream.png", *in_order]
    assert [p.name for p in find_pictures([tmp_path / "1*.*"])] == ["1.png", "10.jpg"]
    assert find_pictures([]) == []


def test_places_without_pictures_are_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ImageError, match="has no pictures; name"):
        find_pictures([tmp_path])
    with pytest.raises(ImageError, match="there is no file"):
        find_pictures([tmp_path / "gone.png"])
    with pytest.raises(ImageError, match="pattern"):
        find_pictures([tmp_path / "*.png"])


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("depth", [8, 16])
def test_whole_numbers_are_written_as_they_are(tmp_path: Path, depth: int, ending: str) -> None:
    values = colours(300, 5, depth=depth)
    path = tmp_path / f"a.{ending}"
    write_picture(path, values, like=Picture(values, depth=depth))
    again = read_picture(path)
    assert again.values.dtype == values.dtype
    assert np.array_equal(again.values, values)


def test_grey_files_stay_grey_until_they_are_asked_for_in_colour(tmp_path: Path) -> None:
    Image.fromarray(colours(300, 8)[..., 0]).save(tmp_path / "grey.png")
    picture = read_picture(tmp_path / "grey.png")
    assert picture.values.shape == picture.size == (300, 8)
    assert picture.pixels.shape == (300, 8, 3)


def test_sixteen_bits_are_rounded_for_formats_that_have_eight(tmp_path: Path) -> None:
    values = colours(300, 8, depth=16)
    write_picture(tmp_path / "a.webp", values, like=Picture(values, depth=16))
    write_picture(tmp_path / "b.webp", values / 65535, like=Picture(values, depth=16))
    one, other = (integers(read_picture(tmp_path / name)) for name in ("a.webp", "b.webp"))
    assert np.array_equal(one, other)
