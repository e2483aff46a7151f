"""What a dream keeps of a picture file, and what is said where there is none."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms

from reverie.cli import dreaming
from reverie.picture import read_picture
from reverie.testing import check_host

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine

Array = np.ndarray[Any, Any]


def opened(name: str | Path) -> Image.Image:
    with Image.open(name) as picture:
        picture.load()
        return picture


# -- what a dream keeps --------------------------------------------------------------------------


def test_the_command_line_keeps_the_contract_of_hosts(waves: Path, pixels: Array) -> None:
    Image.fromarray(np.dstack([pixels, pixels[..., 0]])).save("alpha.png")
    check_host("command-line", read_picture(waves), read_picture(waves.with_name("alpha.png")))


def test_sixteen_bits_and_alpha_stay(cli: CommandLine, folder: Path) -> None:
    deep = np.random.default_rng(1).integers(0, 65536, (48, 40, 4), np.uint16)
    (folder / "deep.png").write_bytes(imagecodecs.png_encode(deep))
    assert cli.dream("deep.png", "--size", "0").code == 0
    dreamed = imagecodecs.png_decode((folder / "deep.dream.png").read_bytes())
    assert dreamed.dtype == np.uint16
    assert dreamed.shape == (48, 40, 4)
    assert np.array_equal(dreamed[..., 3], deep[..., 3])
    assert len(np.unique(dreamed[..., :3])) > 256
    assert np.abs(dreamed[..., :3].astype(int) - deep[..., :3]).mean() < 2000


def test_alpha_stays_and_follows_the_size(cli: CommandLine, waves: Path, pixels: Array) -> None:
    alpha = np.random.default_rng(1).integers(0, 256, pixels.shape[:2], np.uint8)
    Image.fromarray(np.dstack([pixels, alpha])).save(waves)
    assert cli.dream(waves, "--size", "0", "-o", "same.png").code == 0
    same = np.asarray(opened("same.png"))
    assert np.array_equal(same[..., 3], alpha)
    assert cli.dream(waves, "--size", "24", "-o", "small.png").code == 0
    assert opened("small.png").size == (20, 24)
    assert opened("small.png").mode == "RGBA"


def test_transparency_is_refused_for_jpeg_before_the_dream(
    cli: CommandLine, waves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(waves).convert("RGBA").resize((40, 48)).save("solid.png")
    assert cli.dream("solid.png", "-o", "solid.jpg").code == 0
    Image.new("RGBA", (40, 48), (90, 90, 90, 9)).save("clear.png")
    monkeypatch.setattr(dreaming, "dream_on", None)
    assert "JPEG has no transparency" in cli.dream("clear.png", "-o", "clear.jpg").sentence


def test_profile_exif_and_orientation_stay(cli: CommandLine, waves: Path) -> None:
    picture = opened(waves)
    exif = Image.Exif()
    exif[0x0112] = 6  # lying on its side
    exif[0x010F] = "A camera"
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture.save("side.jpg", exif=exif, icc_profile=icc, quality=95)
    assert cli.dream("side.jpg", "--size", "0").paths == ["side.dream.png"]
    dreamed = opened("side.dream.png")
    assert dreamed.size == (48, 40)
    assert dreamed.info["icc_profile"] == icc
    assert dreamed.getexif()[0x010F] == "A camera"
    assert dreamed.getexif().get(0x0112, 1) == 1


def test_size_is_the_longest_side(cli: CommandLine, waves: Path) -> None:
    for size in (24, 96):
        assert cli.dream(waves, "--size", str(size), "-o", f"{size}.png").code == 0
        assert opened(f"{size}.png").size == (size * 40 // 48, size)


def test_every_kind_of_picture_is_dreamed(cli: CommandLine, waves: Path) -> None:
    picture = opened(waves)
    picture.convert("L").save("grey.png")
    picture.convert("P").save("palette.png")
    picture.convert("1").save("ink.png")
    picture.convert("CMYK").save("cmyk.jpg")
    picture.convert("LA").save("la.png")
    picture.crop((9, 9, 10, 10)).save("dot.png")
    picture.resize((5, 4000)).save("strip.png")
    picture.save("film.gif", save_all=True, append_images=[picture.rotate(9), picture.rotate(18)])
    waves.unlink()
    answer = cli.dream(".", "--size", "0", "--octaves", "2")
    assert answer.code == 0
    assert len(answer.paths) == 8
    assert "film.gif has 3 frames; only the first is used." in answer.err
    assert opened("dot.dream.png").size == (1, 1)
    assert opened("strip.dream.png").size == (5, 4000)
    assert opened("grey.dream.png").mode == "RGB"


# -- what is not a picture -----------------------------------------------------------------------


def huge_png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b"")


def broken(folder: Path, kind: str) -> Path:
    path = folder / "broken.png"
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        whole = (folder / "waves.png").read_bytes()
        content = {
            "huge": huge_png(),
            "cut": whole[: len(whole) // 2],
            "zero": b"",
            "text": b"Dear diary",
        }
        path.write_bytes(content[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("huge", "60000 x 60000 pixels"),
        ("cut", "damaged"),
        ("zero", "is empty (0 bytes)"),
        ("text", "is not a picture"),
        ("missing", "there is no file"),
        ("folder", "has no pictures"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence(
    cli: CommandLine, waves: Path, kind: str, words: str
) -> None:
    path = broken(waves.parent, kind)
    sentence = cli.dream(path).sentence
    assert words in sentence
    assert "broken.png" in sentence
    assert {each.name for each in waves.parent.iterdir()} <= {"waves.png", "broken.png"}


def test_one_broken_picture_does_not_keep_others_from_being_dreamed(
    cli: CommandLine, waves: Path
) -> None:
    broken(waves.parent, "text")
    waves.rename("z.png")
    opened("z.png").save("a.png")
    answer = cli.dream(".")
    assert answer.code == 1
    assert answer.paths == ["a.dream.png", "z.dream.png"]
    assert "reverie: broken.png is not a picture" in answer.err
    assert "1 of 3 pictures could not be dreamed." in answer.err


def test_a_picture_too_large_for_the_memory_is_said_and_the_next_one_dreamed(
    cli: CommandLine, waves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dream_or_not(image: Any, *args: Any, **kwargs: Any) -> Any:
        if image.shape[1] > 40:
            raise MemoryError
        return dream(image, *args, **kwargs)

    dream = dreaming.dream_on  # type: ignore[attr-defined] # the name under which it is used
    monkeypatch.setattr(dreaming, "dream_on", dream_or_not)
    opened(waves).resize((80, 48)).save("a.png")
    answer = cli.dream("a.png", "waves.png", "--size", "0")
    assert (answer.code, answer.paths) == (1, ["waves.dream.png"])
    assert "a.png does not fit into memory" in answer.err


def test_a_mask_says_where(cli: CommandLine, waves: Path, pixels: Array) -> None:
    mask = Image.new("L", (20, 24))
    mask.paste(255, (0, 0, 10, 24))
    mask.save("mask.png")
    assert cli.dream(waves.name, "--size", "0", "--mask", "mask.png").code == 0
    dreamed = np.asarray(opened("waves.dream.png"))
    assert np.array_equal(dreamed[:, 22:], pixels[:, 22:])
    assert not np.array_equal(dreamed[:, :20], pixels[:, :20])


def test_repeating_a_masked_dream_without_its_mask_says_so(cli: CommandLine, waves: Path) -> None:
    Image.new("L", (20, 24), 255).save("mask.png")
    masked = cli.dream(waves.name, "--mask", "mask.png").paths[0]
    assert "--mask" in cli("dream", waves.name, "--recipe", masked).err
    assert "--mask" not in cli("dream", waves.name, "--recipe", masked, "--mask", "mask.png").err


def test_a_mask_is_white_only_where_it_is_painted(
    cli: CommandLine, waves: Path, pixels: Array
) -> None:
    mask = Image.new("RGBA", (40, 48), (255, 255, 255, 0))
    mask.paste((255, 255, 255, 255), (0, 0, 20, 48))
    mask.save("mask.png")
    assert cli.dream(waves.name, "--size", "0", "--mask", "mask.png").code == 0
    dreamed = np.asarray(opened("waves.dream.png"))
    assert np.array_equal(dreamed[:, 20:], pixels[:, 20:])
    assert not np.array_equal(dreamed[:, :20], pixels[:, :20])


@pytest.mark.parametrize("mask", ["none.png", "."])
def test_a_mask_that_cannot_be_read_is_refused_before_any_work(
    cli: CommandLine, waves: Path, monkeypatch: pytest.MonkeyPatch, mask: str
) -> None:
    monkeypatch.setattr(dreaming, "load_network", None)
    assert mask in cli.dream(waves, "--mask", mask).sentence
