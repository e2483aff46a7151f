"""`--memory`: how much of it a dream may work in, once everything else has its share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reverie.engine.canvas import belongs_in_file
from reverie.engine.dream import megabytes
from reverie.errors import ReverieError

if TYPE_CHECKING:
    import torch

    from reverie.engine.prepare import Climb
    from reverie.picture import Picture

PROCESS = 900_000_000
"""Bytes that Python, PyTorch and a network take before there is a picture: 650 to 850 MB were seen
with PyTorch built with CUDA, most of them its libraries, of which the system keeps more or less in
memory as it likes. A constant, so that the same command gives the same bytes everywhere.
"""
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def read_size(text: str) -> int:
    """Read a size in bytes as people write it.

    Raises:
        ReverieError: it is none, or 0.

    >>> read_size("1.5G"), read_size("800 MB"), read_size("2gb")
    (1500000000, 800000000, 2000000000)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)B?", text.strip(), re.IGNORECASE)
    size = int(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
    if not size:
        raise ReverieError(f"--memory: {text!r} is not a size; give one such as 1.5G or 800M.")
    return size


def working_memory(
    allowed: int | None, picture: Picture, size: tuple[int, int], climb: Climb, device: torch.device
) -> int | None:
    """Give the bytes that a dream may work in.

    Args:
        allowed: for the whole process, or on a GPU for the dream alone; None sets no limit.
        picture: as it was read.
        size: height and width of the dream in px.
        climb: what will be dreamed.
        device: where.
    Raises:
        ReverieError: that is too little.
    """
    if allowed is None:
        return None
    others = 0 if device.type != "cpu" else PROCESS + _held(picture)
    working = max(0, allowed - others)
    largest = max(picture.size, size)
    in_file = belongs_in_file((1, 3, *largest), working, device)
    needed = others + climb.least_memory((1, 3, *size), in_file=in_file)
    if device.type == "cpu":  # to write a dream, it and its file are in memory too
        needed = max(needed, PROCESS + 3 * _held(picture) * size[0] * size[1] // _area(picture))
    if allowed < needed:
        raise ReverieError(
            f"--memory: {megabytes(allowed)} is too little for this picture and recipe; "
            f"the smallest that can work is {megabytes(needed)}."
        )
    return working


def _area(picture: Picture) -> int:
    return picture.size[0] * picture.size[1]


def _held(picture: Picture) -> int:
    """Bytes of a picture in colour, as it is kept beside the dream."""
    alpha = 0 if picture.alpha is None else picture.alpha.nbytes
    return 3 * picture.values.itemsize * _area(picture) + alpha
