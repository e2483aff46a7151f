"""Memory for pictures: ordinary, or for large ones a file's, and the bands to go over them in.

What is made of a picture in a file is in a file, too. The system then keeps in memory what it has
room for, and a dream takes as little as it is allowed.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from reverie.errors import ReverieError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LARGE = 2048**2
"""px that the network sees at once, unless memory is limited."""
SMALL = 1024**2
"""px of one picture; up to this it is in ordinary memory and resampled at once."""
BAND = 2**18
"""px of one band: 3 MB as floats, which a processor's cache nearly holds."""
_DISK = "/var/tmp"  # noqa: S108 - only where to look; the file itself has no name
_BYTES = 4

_files: WeakValueDictionary[int, mmap.mmap] = WeakValueDictionary()
"""The files behind tensors, by the address of their first byte."""


def empty(shape: Sequence[int], like: Tensor, *, in_file: bool | None = None) -> Tensor:
    """Make float32 memory without content, on the device of `like`.

    Args:
        shape: of any length; the last two are height and width in px.
        like: if it lives in a file, the new one does too, unless it is small.
        in_file: says so whatever `like` does, but still not for small ones; only on the CPU.
    Raises:
        ReverieError: the disk has no room for the file.
    """
    wanted = lives_in_file(like) if in_file is None else in_file
    if wanted and like.device.type == "cpu" and shape[-1] * shape[-2] > SMALL:
        return _file(tuple(shape))
    return torch.empty(tuple(shape), dtype=torch.float32, device=like.device)


def taken_by(shape: Sequence[int], *, in_file: bool = False, copies: int = 4) -> int:
    """Give the bytes of memory for all that a dream keeps of pictures (N, 3, H, W) at once.

    Those are four: the pictures as they were and as they are, the gradient, and one on the way to
    the next octave. In files, only those of small octaves are in memory.
    """
    pixels = math.prod(shape[2:])
    return copies * _BYTES * shape[0] * shape[1] * (min(pixels, SMALL) if in_file else pixels)


def belongs_in_file(shape: Sequence[int], memory: int | None, device: torch.device) -> bool:
    """Tell whether a dream that may work in so many bytes keeps pictures in files."""
    may = device.type == "cpu" and shape[-1] * shape[-2] > SMALL
    return may and memory is not None and taken_by(shape) > memory / 4


def copied(image: Tensor) -> Tensor:
    """Copy a picture to memory of its own."""
    copy = empty(image.shape, like=image)
    for rows in bands(copy, image):
        copy[:, :, rows] = image[:, :, rows]
    return copy


def bands(*pictures: Tensor | None, most: int = BAND) -> Iterator[slice]:
    """Give the rows of pictures (N, C, H, W) of one size, few at a time, from top to bottom.

    After each, what lives in files is handed back to the system.

    Args:
        pictures: all that will be read or written.
        most: px of one band, on a CPU; it has at least one row.
    """
    used = [picture for picture in pictures if picture is not None]
    height, width = used[0].shape[2:]
    if used[0].device.type != "cpu":  # each band costs launches there, and no cache
        most = max(most, LARGE)
    rows = max(1, most // width)
    mapped = [picture for picture in used if lives_in_file(picture)]
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))
        hand_back(*mapped)


def lives_in_file(image: Tensor) -> bool:
    """Tell whether a tensor, or what it is a part of, is in a file."""
    return bool(_files) and image.untyped_storage().data_ptr() in _files


def hand_back(*images: Tensor) -> None:
    """Let the system take the memory of pictures that live in files; their content stays."""
    for image in images:
        file = _files.get(image.untyped_storage().data_ptr())
        if file is not None and sys.platform == "linux":
            file.madvise(mmap.MADV_DONTNEED)  # shared and in a file: written back, not lost


def trim() -> None:
    """Have the C library give the system what is free in its heap, where it has a call for that.

    glibc keeps it in pieces of which few fit the next tile: over 8 tiles a third more memory, and
    ever more over many; to give it back costs 3 to 19 % of a step, the most in bf16.
    """
    if sys.platform == "linux":
        give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none, and needs none
        if give_back is not None:
            give_back(0)


def _file(shape: tuple[int, ...]) -> Tensor:
    """Make a tensor in a file without a name, which is gone when the tensor is, however it ends."""
    size = _BYTES * math.prod(shape)
    try:
        with tempfile.TemporaryFile(prefix="reverie-", dir=_folder()) as file:
            _reserve(file, size)
            memory = mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise ReverieError(
            f"a temporary file of {size / 1e9:.1f} GB cannot be made in {_folder()} "
            f"({error.strerror or error}); free some space there, set TMPDIR to another folder, or "
            "allow more memory."
        ) from error
    tensor = torch.frombuffer(memory, dtype=torch.float32).view(shape)
    _files[tensor.data_ptr()] = memory
    return tensor


def _folder() -> str:
    """A folder on a disk: /tmp is often in memory, where a file would save none."""
    is_chosen = any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    has_disk = Path(_DISK).is_dir() and os.access(_DISK, os.W_OK)
    return tempfile.gettempdir() if is_chosen or not has_disk else _DISK


def _reserve(file: IO[bytes], size: int) -> None:
    """Take the room now: a disk found full on writing to memory would end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    zeros = memoryview(bytes(2**20))
    for start in range(0, size, len(zeros)):
        file.write(zeros[: size - start])
    file.flush()
