"""Reads a .safetensors file into memory of its own.

The library of that name maps the file instead; if somebody writes over it then, the whole program
ends with the next look at a weight, without an error. And a header can say anything.
"""

from __future__ import annotations

import json
import math
import struct
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from pathlib import Path

_LARGEST_HEADER = 100_000_000
"""Bytes; the format's own limit."""
_TYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}
_MOST_SIDES = 64
"""Dimensions of a tensor: PyTorch's own limit."""
_LENGTH = 8
"""Bytes before the header, which say how long it is."""


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a file, by their names.

    Raises:
        ValueError: the file is not what it should be; says how.
        RecursionError: its header is nested deeper than any is.
        OSError: as `open` raises it.
    Source: https://github.com/huggingface/safetensors, "Format".
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        (length,) = struct.unpack("<Q", file.read(_LENGTH).ljust(_LENGTH, b"\0"))
        first = _LENGTH + length
        if first > size or length > _LARGEST_HEADER:
            raise ValueError(f"its header has {length} bytes")
        header = dict(json.loads(file.read(length)))
        header.pop("__metadata__", None)
        found, end = {}, 0
        described = [(name, *_described(entry)) for name, entry in header.items()]
        for name, dtype, shape, start, stop in sorted(described, key=lambda one: one[3:]):
            if start < end or first + stop > size:  # else a small file could fill the memory
                raise ValueError("its tensors overlap, or go beyond its end")
            content = bytearray(stop - start)
            file.seek(first + start)
            if file.readinto(content) != len(content):
                raise ValueError("it was cut short meanwhile")
            if content:
                found[name] = torch.frombuffer(content, dtype=dtype).view(shape)
            else:
                found[name] = torch.empty(shape, dtype=dtype)
            end = stop
    return {name: found[name] for name in header}


def _described(entry: Any) -> tuple[torch.dtype, list[int], int, int]:
    """Check what a header says of a tensor: its type, its shape, and where it begins and ends."""
    match entry:
        case {"dtype": str(name), "shape": [*shape], "data_offsets": [int(start), int(stop)]}:
            dtype = _TYPES.get(name)
        case _:
            raise ValueError("its header describes a tensor oddly")
    if dtype is None:
        raise ValueError(f"it has numbers of the type {name[:20]!r}")
    is_short = len(shape) <= _MOST_SIDES
    if not is_short or not all(type(side) is int and 0 <= side < 2**63 for side in shape):
        raise ValueError("its header has a shape that is none")
    if start < 0 or stop - start != math.prod(shape) * dtype.itemsize:
        raise ValueError("its header gives a tensor another length than its shape")
    return dtype, shape, start, stop
