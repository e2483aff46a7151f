"""Reads the weights in a .caffemodel, without Caffe and without protobuf's library.

Such a file is a `NetParameter` of caffe.proto: layers with names, each with the blobs of its
weights. Of protobuf's wire format only what that needs is read, to a fixed depth, and all else is
skipped by its length; nothing in the file is run or trusted. Both forms that Caffe has written are
read: `layer` (since 2015) and `layers` (V1, before).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from reverie.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

_LIMIT = 2 * 1024**3
"""Bytes; protobuf's own limit."""
_FIELDS = 200_000
"""How many fields are read: GoogLeNet's file has a few thousand, and a hostile one a billion."""
_AXES = 32
"""Caffe's own limit."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""Wire types, without those of groups, which Caffe never had."""
_VARINT_BYTES = 10
"""The longest: 64 bits, of which each byte holds 7."""
_LAYERS = {100: (1, 7), 2: (4, 6)}
"""In a net: the fields with layers (today's, V1), and in those the fields of name and blobs."""
_NET_NAME = 1
"""In a net: its name, with which a file usually begins."""
_SHAPE, _DATA, _DOUBLES = 7, 5, 8
"""In a blob: its shape, and its numbers in one of two precisions."""
_SIDES = (1, 2, 3, 4)
"""In an older blob: number, channels, height and width, which were all its shape."""
_DIMENSION = 1
"""In a shape: one or all of its lengths."""
_BLOBS = ("weight", "bias")
"""What a layer's first blobs are; further ones are named by their number."""


class _DamageError(Exception):
    """The bytes are not what they should be; says how."""


class _Field(NamedTuple):
    """A field of a message."""

    number: int
    kind: int
    """The wire type."""
    content: memoryview
    """The bytes, where it is no varint."""
    integer: int = 0
    """The value, where it is one."""


def is_caffemodel(head: bytes) -> bool:
    """Tell by a file's first bytes (64 or so) whether it may be a Caffe model."""
    try:
        tag, at = _varint(memoryview(head), 0)
        length, at = _varint(memoryview(head), at)
    except _DamageError:
        return False
    number, kind = tag >> 3, tag & 7
    name = head[at : at + length].decode("utf-8", "replace")
    return kind == _BYTES and (number in _LAYERS or (number == _NET_NAME and name.isprintable()))


def read_caffemodel(path: Path) -> dict[str, Tensor]:
    """Read the weights of all layers.

    Args:
        path: a file of 2 GiB or less; it is held in memory meanwhile.
    Returns:
        "LAYER.weight" and "LAYER.bias" to float32 tensors, in the file's order. Shapes are the
        file's; older files give every shape four axes, and of these the first are left out while
        they are 1.
    Raises:
        WeightsError: it cannot be read, is damaged, or has no weights.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LIMIT + 1)
        return _Reader().net(memoryview(content))
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error
    except _DamageError as error:
        raise WeightsError(
            f"{path} is damaged, incomplete or no Caffe model ({error}); download or save it again."
        ) from None


class _Reader:
    """Reads one file, and counts its fields, so that no file takes long."""

    def __init__(self) -> None:
        self._fields_left = _FIELDS

    def net(self, content: memoryview) -> dict[str, Tensor]:
        if len(content) > _LIMIT:
            raise _DamageError(f"it has more than {_LIMIT} bytes")
        state: dict[str, Tensor] = {}
        for part in self._fields(content):
            if part.number not in _LAYERS or part.kind != _BYTES:
                continue
            name, blobs = self._layer(part.content, *_LAYERS[part.number])
            for index, blob in enumerate(blobs):
                key = f"{name}.{_BLOBS[index] if index < len(_BLOBS) else index}"
                if key in state:
                    raise _DamageError(f"{key[:80]!r} is there twice")
                state[key] = self._tensor(blob)
        if not state:
            raise _DamageError("no layer has weights")
        return state

    def _layer(
        self, content: memoryview, name_field: int, blobs_field: int
    ) -> tuple[str, list[memoryview]]:
        name, blobs = "", []
        for part in self._fields(content):
            if part.kind == _BYTES and part.number == name_field:
                name = bytes(part.content).decode("utf-8", "replace")
            elif part.kind == _BYTES and part.number == blobs_field:
                blobs.append(part.content)
        return name, blobs

    def _tensor(self, content: memoryview) -> Tensor:
        import numpy as np
        import torch

        floats, doubles = [], []
        shape: list[int] = []
        sides = dict.fromkeys(_SIDES, 0)
        for part in self._fields(content):
            if part.number == _DATA and part.kind in {_BYTES, _FIXED32}:
                floats.append(part.content)
            elif part.number == _DOUBLES and part.kind in {_BYTES, _FIXED64}:
                doubles.append(part.content)
            elif part.number == _SHAPE and part.kind == _BYTES:
                shape = self._shape(part.content)
            elif part.number in sides and part.kind == _VARINT:
                sides[part.number] = part.integer
        data = b"".join(doubles or floats)
        number = np.dtype("<f8" if doubles else "<f4")
        if len(data) % number.itemsize:
            raise _DamageError("the last number of a layer is cut off")
        numbers = np.frombuffer(data, number).astype(np.float32)
        if not shape:
            shape = list(sides.values())
            while len(shape) > 1 and shape[0] == 1:
                del shape[0]
        if not len(numbers) or math.prod(shape) != len(numbers):
            raise _DamageError(f"a layer has {len(numbers)} numbers for the shape {shape[:4]}")
        return torch.from_numpy(numbers).reshape(shape)

    def _shape(self, content: memoryview) -> list[int]:
        shape: list[int] = []
        for part in self._fields(content):
            if part.number != _DIMENSION:
                continue
            if part.kind == _VARINT:
                shape.append(part.integer)
            at = 0
            while at < len(part.content) and len(shape) <= _AXES:
                length, at = _varint(part.content, at)
                shape.append(length)
            if len(shape) > _AXES:
                raise _DamageError(f"a layer has more than {_AXES} axes")
        return shape

    def _fields(self, content: memoryview) -> Iterator[_Field]:
        """Give a message's fields; what they hold is not looked at."""
        at = 0
        while at < len(content):
            self._fields_left -= 1
            if self._fields_left < 0:
                raise _DamageError(f"it has more than {_FIELDS} fields")
            tag, at = _varint(content, at)
            number, kind = tag >> 3, tag & 7
            if kind == _VARINT:
                integer, at = _varint(content, at)
                yield _Field(number, kind, content[:0], integer)
                continue
            if kind == _BYTES:
                length, at = _varint(content, at)
            elif kind in {_FIXED32, _FIXED64}:
                length = 4 if kind == _FIXED32 else 8
            else:
                raise _DamageError(f"a field is of the unknown kind {kind}")
            if length > len(content) - at:
                raise _DamageError("a field goes on behind the end")
            yield _Field(number, kind, content[at : at + length])
            at += length


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    """Read an integer of 7 bits a byte, the lowest first; give it, and where it ends."""
    integer = 0
    for index in range(_VARINT_BYTES):
        if at + index >= len(content):
            raise _DamageError("an integer goes on behind the end")
        byte = content[at + index]
        integer |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004 - its highest bit says that there are more
            return integer, at + index + 1
    raise _DamageError("an integer has no end")
