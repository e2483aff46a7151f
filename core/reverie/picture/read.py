"""Picture files become arrays here, with everything else the file says kept beside them.

Reading keeps depth, transparency, colour profile and EXIF; writing (`write.py`) puts them
back. Nothing here knows torch, and no setting of Pillow's is changed for the process.
"""

from __future__ import annotations

import struct
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from PIL import Image

from reverie.errors import ImageError
from reverie.picture.decode import (
    BROKEN,
    as_floats,
    decode_image,
    exif_of,
    refuse_bad_size,
    upright,
)
from reverie.picture.deep import decode_deep_png, decode_deep_tiff, is_deep_png, is_tiff
from reverie.picture.exif import exif_block, read_exif
from reverie.picture.files import picture_formats
from reverie.picture.provenance import record_of, upright_exif

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from PIL import ImageFile

# More frames of these are nothing a user put there: a phone's gain map, an editor's layers.
_ONE_PICTURE = frozenset({"MPO", "PSD"})


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as its file has it, turned upright."""

    values: np.ndarray[Any, np.dtype[Any]]
    """(H, W, 3), or (H, W) for grey, in the colour space that `icc` describes; sRGB without one.

    uint8 or uint16 over the full range, or float32 in 0..1.
    """
    alpha: np.ndarray[Any, np.dtype[Any]] | None = None
    """(H, W) uint8 or uint16, exactly the file's; None for a picture without transparency."""
    depth: int = 8
    """Bits per channel: 8, or 16 for every file that has more than 8."""
    icc: bytes | None = None
    """The RGB colour profile, if the file has one."""
    exif: bytes | None = None
    """What camera and people noted, as an Exif block; its orientation says upright."""
    dpi: tuple[float, float] | None = None
    """Pixels per inch, across and down."""
    notes: tuple[str, ...] = ()
    """Sentences for the user, as "holiday.gif has 12 frames; only the first is used."."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in px."""
        return self.values.shape[0], self.values.shape[1]

    @property
    def pixels(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The values as (H, W, 3) float32, 0..1, converted whenever it is asked for."""
        return as_floats(self.values)


def read_picture(path: Path) -> Picture:
    """Give the first picture in a file of any format that Pillow reads, 16 bits kept.

    Grey becomes three equal channels. CMYK, Lab, and grey with a profile become sRGB. Grey
    numbers beyond 16 bits or 0.0..1.0 are stretched to 0..1, with a note.

    Raises:
        ImageError: the file is missing, may not be read, is no picture, is damaged, or has
            more than `MAX_PIXELS` pixels, which is found out before any is decoded.
    """
    path = Path(path)
    with _reading(path) as file:
        decoded = decode_deep_tiff(file) if is_tiff(file) else None
        if decoded is None:
            image = _open_image(file)
            decoded = decode_deep_png(image, file) if is_deep_png(file) else decode_image(image)
            decoded.notes += _frames_note(image)
        alpha, turn = decoded.alpha, decoded.orientation
        values = upright(decoded.values, turn)
        return Picture(
            values=values,
            alpha=None if alpha is None else upright(alpha, turn),
            depth=8 if values.dtype.itemsize == 1 else 16,
            icc=decoded.icc,
            exif=exif_block(upright_exif(decoded.exif, values.shape)),
            dpi=decoded.dpi,
            notes=tuple(f"{path.name} {note}" for note in decoded.notes),
        )


def read_record(path: Path) -> str | None:
    """Give the JSON text that `write_picture` stored in a file, or None.

    Other programs may have saved the picture since: the record is looked for in the text
    chunks of a PNG and in the EXIF of every format. Damaged metadata counts as none.

    Raises:
        ImageError: there is no picture at `path`, or it may not be read.
    """
    with _reading(Path(path)) as file:
        if is_tiff(file):
            return record_of(read_exif(file))
        image = _open_image(file)
        with suppress(*BROKEN):
            texts = image.info
            if "reverie" not in texts and image.format == "PNG":
                texts = image.text  # type: ignore[attr-defined] # reads on, to the chunks after the pixels
            if isinstance(texts.get("reverie"), str):
                return str(texts["reverie"])
        return record_of(exif_of(image))


@contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    """Open a file; every fault, and every `ImageError` without a subject, becomes a sentence.

    What the decoders warn of goes where the program wants warnings to go: that is one setting of
    the whole process, and the command line's own has it silent.
    """
    try:
        _refuse_no_file(path)
        with path.open("rb") as file:
            yield file
    except ImageError as error:
        raise ImageError(f"{path} {error}") from error.__cause__
    except FileNotFoundError as error:
        raise ImageError(f"{path} does not exist; check the name.") from error
    except PermissionError as error:
        raise ImageError(f"{path} may not be read; change its permissions.") from error
    except MemoryError as error:
        raise ImageError(f"{path} does not fit into memory; make the picture smaller.") from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{path} is too large for its format ({error}); save it as PNG."
        ) from error
    except BROKEN as error:
        raise ImageError(
            f"{path} is damaged or cut short ({error}); copy it again, or save it anew."
        ) from error


def _refuse_no_file(path: Path) -> None:
    if path.is_dir():
        raise ImageError("is a folder; name a picture in it.")
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise ImageError("is not a file; name a picture file.")
    if path.stat().st_size == 0:
        raise ImageError("is empty (0 bytes); copy or download it again.")


def _open_image(file: BinaryIO) -> ImageFile.ImageFile:
    """Read a header as `Image.open` does, but with our limit instead of Pillow's global one.

    Pillow warns above 89 and refuses above 179 megapixels; both numbers, and the switch, belong
    to the whole process, which may be a host's. (WebP, ICO and a few rare formats ask Pillow's
    limit themselves, so that it holds for them as well.)
    """
    file.seek(0)
    prefix = file.read(16)
    damaged = None
    for load_plugins in (Image.preinit, Image.init):  # the few common formats first
        load_plugins()
        for name in picture_formats():
            factory, accept = Image.OPEN[name]
            if accept and not _says_yes(accept, prefix):
                continue
            file.seek(0)
            try:
                image = factory(file, "")
            except (SyntaxError, IndexError, TypeError, struct.error):  # "not my format"
                damaged = damaged or (name if accept else None)
                continue
            refuse_bad_size(*image.size)
            return image
    if damaged:
        raise ImageError(f"looks like {damaged} but is damaged; copy it again, or save it anew.")
    raise ImageError("is not a picture reverie can read; save it as PNG, JPEG, TIFF or WebP.")


def _says_yes(accept: Callable[[bytes], bool | str], prefix: bytes) -> bool:
    with suppress(IndexError, struct.error):  # the prefix of a tiny file is shorter than expected
        answer = accept(prefix)
        return bool(answer) and not isinstance(answer, str)  # text says why not
    return False


def _frames_note(image: ImageFile.ImageFile) -> tuple[str, ...]:
    frames = 1
    if image.format not in _ONE_PICTURE:
        with suppress(*BROKEN):  # a picture whose later frames are damaged is still a picture
            frames = getattr(image, "n_frames", 1)
    return (f"has {frames} frames; only the first is used.",) if frames > 1 else ()
