"""Reads what is in PyTorch's zip archives, TorchScript's among them, without running any of it.

Such an archive holds a pickle, which says how to build objects, and beside it the numbers of the
tensors. Here the pickle is only followed as far as it describes dicts, lists, numbers, text and
tensors: of what it calls by a name nothing is looked up, a handful of names are known, and what
TorchScript calls a class becomes a plain holder of attributes.
"""

from __future__ import annotations

import pickletools
import struct
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_PICKLE = "data.pkl"
_LARGEST_PICKLE = 64 * 2**20
"""Bytes; those of the largest networks have 1 MB."""
_MOST_NAMES = 100_000
"""Attributes in a program, each counted as often as it is reached; the usual have a few thousand.
"""
_LONGEST_NAME = 1000
"""Characters of a tensor's name with all its points; the usual have up to a hundred."""
_PROTOCOL = 2
"""Of the pickles that PyTorch writes by itself."""
_MOST_SIDES = 64
"""Dimensions of a tensor: PyTorch's own limit."""
_LOCAL_HEADER = 30
"""Bytes of a zip archive before the name of each file in it."""
_TYPES = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
}
"""How PyTorch names what a tensor's numbers are."""
_MODULES = ("__torch__.", "__torch__ ")
"""How the names of TorchScript's classes begin."""


class ArchiveError(Exception):
    """The archive is not what it should be; says how."""


class UnknownNameError(ArchiveError):
    """Raised with a name that the pickle calls, which is none of those that make up tensors."""


@dataclass(frozen=True)
class _Name:
    """Something that the pickle calls by its name."""

    text: str


@dataclass(eq=False)
class Part:
    """An object of a TorchScript program: a module, or what a module keeps."""

    state: Any = None
    """Its attributes by name, where it has any."""


@dataclass(eq=False)
class _Storage:
    """The numbers of tensors, in the order in which they stand in the file."""

    values: Tensor


class Archive:
    """A zip archive as `torch.save` and `torch.jit.save` write it.

    Raises:
        ArchiveError: it is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = path.stat().st_size
        try:
            with ZipFile(path) as archive:
                self._files = {info.filename: info for info in archive.infolist()}
        except (BadZipFile, NotImplementedError, ValueError, struct.error) as error:
            raise ArchiveError(str(error)) from None
        found = [name for name in self._files if f"/{name}".endswith(f"/{_PICKLE}")]
        self._folder = found[0].removesuffix(_PICKLE) if found else None

    @property
    def is_exported(self) -> bool:
        """Whether `torch.export` has written it, which puts no pickle there but a program."""
        return self._folder is None and any(name.endswith(".json") for name in self._files)

    @property
    def is_program(self) -> bool:
        """Whether it is TorchScript's."""
        return f"{self._folder}constants.pkl" in self._files

    @property
    def is_usual(self) -> bool:
        """Whether PyTorch's own loader of weights reads it without a warning."""
        return not self.is_program and self._read_pickle()[1:2] == bytes([_PROTOCOL])

    def read(self) -> Any:
        """Return what is in it: dicts, lists, numbers, text, tensors on the CPU, and parts.

        Raises:
            UnknownNameError: it is more than that.
            ArchiveError: it is damaged.
            OSError: as `open` raises it.
        """
        return _Machine(self._read_pickle(), _Numbers(self)).run()

    def _read_pickle(self) -> bytes:
        with self._path.open("rb") as file:
            return bytes(self.read_file(file, _PICKLE, _LARGEST_PICKLE))

    def read_file(self, file: Any, name: str, most: int) -> bytearray:
        """Read one file of the archive, which is `file`, of at most so many bytes."""
        info: ZipInfo | None = self._files.get(f"{self._folder}{name}")
        if info is None:
            raise ArchiveError(f"it has no {name}")
        if info.compress_type != ZIP_STORED or info.flag_bits & 1:
            raise ArchiveError(f"its {name} is compressed")
        if info.file_size > min(most, self._size):
            raise ArchiveError(f"its {name} has {info.file_size} bytes")
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER:
            raise ArchiveError(f"its {name} is cut short")
        lengths = struct.unpack("<HH", header[-4:])  # of the name, and of what comes after it
        file.seek(sum(lengths), 1)
        content = bytearray(info.file_size)
        if file.readinto(content) != len(content):
            raise ArchiveError(f"its {name} is cut short")
        return content

    def text(self, name: str) -> str:
        """Return a short text in the archive, empty if it is not there."""
        if f"{self._folder}{name}" not in self._files:
            return ""
        with self._path.open("rb") as file:
            return self.read_file(file, name, 2**10).decode("utf-8", "replace")


class _Numbers:
    """Reads storages of an archive, each once, and in all no more than the archive has."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._left = archive._size  # noqa: SLF001 - of this module
        self._found: dict[str, _Storage] = {}
        if (archive.text("byteorder").strip() or "little") != sys.byteorder:
            raise ArchiveError("it was written on another kind of computer")

    def storage(self, pid: Any) -> _Storage:
        """Read what a pickle's persistent id says: a type, a file in data/ and a count."""
        match pid:
            case ("storage", _Name(text), str(key), _, int(count), *_) if count >= 0:
                dtype = _TYPES.get(text.removeprefix("torch "))
                if dtype is None:
                    raise UnknownNameError(text.replace(" ", "."))
            case _:
                raise ArchiveError("a tensor's numbers are described oddly")
        if key not in self._found:
            self._found[key] = _Storage(self._read(key, dtype, count))
        found = self._found[key]
        if found.values.dtype is not dtype or found.values.numel() < count:
            raise ArchiveError(f"its data/{key} is described twice")
        return found

    def _read(self, key: str, dtype: torch.dtype, count: int) -> Tensor:
        with self._archive._path.open("rb") as file:  # noqa: SLF001
            content = self._archive.read_file(file, f"data/{key}", self._left)
        self._left -= len(content)
        if len(content) != count * dtype.itemsize:
            raise ArchiveError(f"its data/{key} has {len(content)} bytes")
        return torch.frombuffer(content, dtype=dtype) if count else torch.empty(0, dtype=dtype)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_rest: Any) -> Tensor:
    sides = [each for each in (size, stride) if type(each) is tuple and len(each) <= _MOST_SIDES]
    numbers = [offset, *(n for side in sides for n in side)]
    is_right = isinstance(storage, _Storage) and len(sides) == len((size, stride))
    if not is_right or not all(type(n) is int and n >= 0 for n in numbers):
        raise ArchiveError("a tensor is described oddly")
    return torch.as_strided(storage.values, size, stride, offset)  # which refuses to see more


_DICT = "collections OrderedDict"
_CALLS: dict[str, Callable[..., Any]] = {
    _DICT: dict,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": lambda tensor, *_: tensor,
    "torch.jit._pickle build_boollist": lambda values: values,
    "torch.jit._pickle build_doublelist": lambda values: values,
    "torch.jit._pickle build_intlist": lambda values: values,
    "torch.jit._pickle build_tensorlist": lambda values: values,
    "torch.jit._pickle restore_type_tag": lambda value, _type: value,
}
"""What is done for the names that are known; nothing is imported for them."""
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES"),
}
_IGNORED = {"PROTO", "FRAME"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass
class _Machine:
    """Follows a pickle, which is a program for a machine with a stack and a memory."""

    pickle: bytes
    numbers: _Numbers
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memory: dict[int, Any] = field(default_factory=dict)

    def run(self) -> Any:
        """Return what the pickle describes."""
        for opcode, argument, _ in pickletools.genops(self.pickle):
            name = opcode.name
            if name == "STOP":
                return self.stack.pop()
            if name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in _LITERALS:
                self.stack.append(argument)
            elif name in _TUPLES:
                count = _TUPLES[name]
                self.stack[-count:] = [tuple(self.stack[-count:])]
            elif name not in _IGNORED:
                _DO.get(name, _Machine.refuse)(self, argument)
        raise ArchiveError("its pickle has no end")

    def refuse(self, _argument: Any) -> NoReturn:
        """Do nothing of which weights are never made."""
        raise ArchiveError("its pickle holds more than weights")

    def mark(self, _argument: Any) -> None:
        """Remember where a row of values begins."""
        self.marks.append(len(self.stack))

    def row(self) -> list[Any]:
        """Take the values since the last mark."""
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def name(self, argument: str) -> None:
        """Put a name there, unless it is unknown."""
        if argument.startswith(_MODULES):
            self.stack.append(Part)
        elif argument in _CALLS or argument.removeprefix("torch ") in _TYPES:
            self.stack.append(_Name(argument))
        elif argument.startswith("torch ") and argument.endswith("Storage"):
            self.stack.append(_Name(argument))  # refused when it is used
        else:
            raise UnknownNameError(argument.replace(" ", "."))

    def name_on_stack(self, _argument: Any) -> None:
        """Put a name there whose two parts are on the stack."""
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ArchiveError("its pickle calls what is no name")
        self.name(f"{module} {name}")

    def keep(self, argument: int | None) -> None:
        """Keep the value on top, under a number or the next one."""
        self.memory[len(self.memory) if argument is None else argument] = self.stack[-1]

    def call(self, _argument: Any) -> None:
        """Do what is done for a name."""
        arguments, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, _Name) or name.text not in _CALLS:
            raise ArchiveError("its pickle calls what is no name")
        if name.text == _DICT and arguments:
            raise ArchiveError("its pickle copies a dict")
        self.stack.append(_CALLS[name.text](*arguments))

    def new(self, _argument: Any) -> None:
        """Make an empty part of a program."""
        _, kind = self.stack.pop(), self.stack.pop()
        if kind is not Part:
            raise ArchiveError("its pickle makes more than modules")
        self.stack.append(Part())

    def build(self, _argument: Any) -> None:
        """Fill a part; what dicts and tensors keep besides is of no use here."""
        state = self.stack.pop()
        if isinstance(self.stack[-1], Part):
            self.stack[-1].state = state

    def put(self, pairs: list[Any]) -> None:
        """Put keys and values into the dict on top."""
        found = self.stack[-1]
        keys = pairs[::2]
        if type(found) is not dict or not all(isinstance(key, (str, int, float)) for key in keys):
            raise ArchiveError("its pickle has an odd dict")
        found.update(zip(keys, pairs[1::2], strict=True))

    def add(self, values: list[Any]) -> None:
        """Add values to the list on top."""
        if type(self.stack[-1]) is not list:
            raise ArchiveError("its pickle has an odd list")
        self.stack[-1].extend(values)


_DO: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "POP": lambda machine, _: machine.stack.pop(),
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name_on_stack,
    "BINPUT": _Machine.keep,
    "LONG_BINPUT": _Machine.keep,
    "MEMOIZE": _Machine.keep,
    "BINGET": lambda machine, number: machine.stack.append(machine.memory[number]),
    "LONG_BINGET": lambda machine, number: machine.stack.append(machine.memory[number]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.row())),
    "APPEND": lambda machine, _: machine.add([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.add(machine.row()),
    "SETITEM": lambda machine, _: machine.put(
        [*reversed((machine.stack.pop(), machine.stack.pop()))]
    ),
    "SETITEMS": lambda machine, _: machine.put(machine.row()),
    "BINPERSID": lambda machine, _: machine.stack.append(
        machine.numbers.storage(machine.stack.pop())
    ),
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.new,
    "BUILD": _Machine.build,
}


def names_in(program: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a TorchScript program by their dotted names, as a state dict has them.

    Raises:
        ArchiveError: it is no module, or contains itself.
    """
    if not isinstance(program, Part):
        raise ArchiveError("it is no module")
    parts, left = [("", program)], _MOST_NAMES
    while parts:
        prefix, part = parts.pop()
        attributes = part.state if isinstance(part.state, dict) else {}
        left -= len(attributes)
        if left < 0 or len(prefix) > _LONGEST_NAME:
            raise ArchiveError("its modules contain themselves")
        inner = []
        for name, value in attributes.items():
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value
            elif isinstance(value, Part):
                inner.append((f"{prefix}{name}.", value))
        parts.extend(reversed(inner))
