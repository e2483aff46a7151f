"""Gathers what scenes are made of, all of it free to use: emoji, clip art and photographs.

Every source is named here with its licence; the model card repeats them. Held-out photographs are
never trained on: the measures and contact sheets are taken on them.
"""

from __future__ import annotations

import bz2
import io
import subprocess
import sys
import unicodedata
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import reverie

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reverie.training.motifs import Array

SPRITE = 128
"""px: the side of the square that an emoji or a clip art fits in."""
LONGEST = 1400
"""px: photographs are kept no larger."""
_LARGEST = 4000
"""px: clip art that is larger is left out, it takes too long to read."""
_OPAQUE, _DRAWN = 128, 0.08
"""A sprite covers at least this share of its square, where its alpha is over that."""

DEBIAN = {
    "fonts-noto-color-emoji": "Noto Color Emoji, Google, SIL Open Font License 1.1",
    "openclipart-png": "Open Clip Art Library, public domain",
    "lomiri-wallpapers-16.04": "photographs of Ubuntu Touch, those under CC BY 4.0 and CC0 1.0",
}
"""Debian packages (bookworm), none of which needs to be installed."""
WHEELS = {
    "scikit-image==0.26.0": "skimage.data, public domain and CC0",
    "scikit-learn==1.9.1": "china.jpg and flower.jpg, CC BY 2.0, danielbuechele and vultilion",
    "scipy==1.9.3": "a raccoon's face, Judy Weggelaar, public domain",
}
"""Wheels on PyPI; CPython 3.11's, whatever Python this is."""

_EMOJI = (
    (0x1F300, 0x1F320), (0x1F330, 0x1F393), (0x1F3A0, 0x1F3F0), (0x1F400, 0x1F4A6),
    (0x1F5FB, 0x1F64F), (0x1F680, 0x1F6A4), (0x1F90C, 0x1F9FF), (0x1FA70, 0x1FAFF),
    (0x2600, 0x2604), (0x26C4, 0x26C5),
)  # fmt: skip
"""Animals, plants, food, faces, people, places and things."""
_NO_THINGS = ("SQUARED", "SYMBOL FOR", "ARROW", "MODIFIER", "FLAG")
_CLIP_ART = (
    "animals",
    "buildings",
    "food",
    "people",
    "plants",
    "recreation",
    "transportation",
    "tools",
)
"""Folders of Open Clip Art that hold things; the others are icons and signs."""
_CC_BY_SA = ("Bridge", "Dragonfly", "analogpattern", "free_by", "greentock")
"""Photographs of the same package that ask for share alike: left out."""
_TRAINED = (
    "brick.png", "camera.png", "cell.png", "clock_motion.png", "coins.png", "grass.png", "ihc.png",
    "moon.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip
HELD_OUT = ("astronaut.png", "chelsea.png", "coffee.png", "gravel.png", "hubble_deep_field.jpg")
"""Of scikit-image; the Chinese palace of scikit-learn is held out, too."""


@dataclass(frozen=True)
class Ingredients:
    """What scenes are made of."""

    sprites: list[Array]
    """Emoji and clip art, (SPRITE, SPRITE, 4) uint8, with alpha."""
    photos: list[Array]
    """(H, W, 3) uint8."""
    held_out: dict[str, Array]
    """Photographs that are not trained on, by name, (H, W, 3) uint8."""


def gather(folder: Path) -> None:
    """Fetch the packages into a folder: `apt-get download` and `pip download`; about 250 MB."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in DEBIAN:
        if not (folder / package).exists():
            _run(["apt-get", "download", package], folder)
            (archive,) = folder.glob(f"{package}_*.deb")
            _run(["dpkg-deb", "-x", archive.name, package], folder)
            archive.unlink()
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", "."]
    pip += ["--only-binary=:all:", "--python-version", "3.11"]
    for wheel in WHEELS:
        if not any(folder.glob(f"{wheel.split('==')[0].replace('-', '_')}-*.whl")):
            _run([*pip, wheel], folder)


def load(folder: Path) -> Ingredients:
    """Read what `gather` fetched, and the four renders that reverie ships."""
    held_out = {
        Path(name).stem: _read(file) for name, file in _photos(folder, HELD_OUT, ("china.jpg",))
    }
    photos = [_read(file) for _, file in _photos(folder, _TRAINED, ("flower.jpg",))]
    with zipfile.ZipFile(_wheel(folder, "scipy")) as wheel:
        raccoon = bz2.decompress(wheel.read("scipy/misc/face.dat"))
    photos.append(np.frombuffer(raccoon, np.uint8).reshape(768, 1024, 3))
    wallpapers = sorted((folder / "lomiri-wallpapers-16.04").rglob("*.jpg"))
    photos += [_read(file) for file in wallpapers if not file.name.startswith(_CC_BY_SA)]
    renders = sorted((Path(reverie.__file__).parent / "samples").glob("*.jpg"))
    photos += [_read(file) for file in renders if file.stem not in ("sky", "night")]
    held_out |= {file.stem: _read(file) for file in renders if file.stem in ("sky", "night")}
    return Ingredients([*_emoji(folder), *_clip_art(folder)], photos, held_out)


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True)  # noqa: S603 - ours, word by word


def _wheel(folder: Path, name: str) -> Path:
    (wheel,) = folder.glob(f"{name}-*.whl")
    return wheel


def _photos(
    folder: Path, of_skimage: tuple[str, ...], of_sklearn: tuple[str, ...]
) -> Iterator[tuple[str, io.BytesIO]]:
    for package, place, names in (
        ("scikit_image", "skimage/data", of_skimage),
        ("scikit_learn", "sklearn/datasets/images", of_sklearn),
    ):
        with zipfile.ZipFile(_wheel(folder, package)) as wheel:
            for name in names:
                yield name, io.BytesIO(wheel.read(f"{place}/{name}"))


def _read(file: Path | io.BytesIO) -> Array:
    with Image.open(file) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS, reducing_gap=3)
    return np.asarray(picture)


def _emoji(folder: Path) -> Iterator[Array]:
    (file,) = (folder / "fonts-noto-color-emoji").rglob("NotoColorEmoji.ttf")
    font = ImageFont.truetype(file, 109)  # the only size that the font's bitmaps have
    drawn = set()
    for first, last in _EMOJI:
        for code in range(first, last + 1):
            if any(word in unicodedata.name(chr(code), "") for word in _NO_THINGS):
                continue
            picture = Image.new("RGBA", (136, 128))
            ImageDraw.Draw(picture).text((0, 0), chr(code), font=font, embedded_color=True)
            sprite = _sprite(picture)
            if sprite is not None and sprite.tobytes() not in drawn:
                drawn.add(sprite.tobytes())
                yield sprite


def _clip_art(folder: Path) -> Iterator[Array]:
    root = folder / "openclipart-png/usr/share/openclipart/png"
    for theme in _CLIP_ART:
        for file in sorted((root / theme).rglob("*.png")):
            if file.is_symlink() or {"roadsigns", "cards", "aiga-symbols", "stickmen"} & set(
                file.parent.parts
            ):
                continue
            with warnings.catch_warnings():  # those that are large are not read
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                opened = Image.open(file)
            with opened:
                if max(opened.size) > _LARGEST:
                    continue
                sprite = _sprite(opened.convert("RGBA"))
            if sprite is not None:
                yield sprite


def _sprite(picture: Image.Image) -> Array | None:
    """Cut to what is drawn and fit into the square; None where hardly anything is."""
    box = picture.getchannel("A").getbbox()
    if box is None:
        return None
    cut = picture.crop(box)
    cut.thumbnail((SPRITE, SPRITE), Image.Resampling.LANCZOS, reducing_gap=3)
    square = Image.new("RGBA", (SPRITE, SPRITE))
    square.paste(cut, ((SPRITE - cut.width) // 2, (SPRITE - cut.height) // 2))
    sprite = np.asarray(square)
    return sprite if (sprite[..., 3] > _OPAQUE).mean() > _DRAWN else None
