"""Downloads one file whose SHA-256 is known: resumed, retried, verified, and never half there.

What arrives goes to `FILE.part` and becomes FILE when its checksum is right; a part that was left
behind is where the next try begins. What the file means is not known here: see weights.py.
"""

from __future__ import annotations

import errno
import hashlib
import ipaddress
import logging
import os
import re
import shutil
import socket
import ssl
import time
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException
from typing import IO, TYPE_CHECKING, final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from reverie.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from http.client import HTTPMessage, HTTPResponse
    from pathlib import Path
    from types import TracebackType

    Progress = Callable[[int, int | None], None]
    """Called with the bytes so far and in all."""

_log = logging.getLogger(__name__)

_CHUNK = 128 * 1024
"""Bytes between two calls of the progress callback."""
DIGESTS = {"sha256": "SHA-256", "sha1": "SHA-1"}
"""The algorithms of checksums, and how sentences name them."""
_LIMIT = 8 * 1024**3
"""Bytes; the largest of torchvision's networks has 2.6 GB. More is a mistake, or malice."""
_TIMEOUT = 20.0
"""Seconds that a server may be silent."""
_TRIES = 4
"""How often in a row to connect in vain; a try that came further starts the count again."""
_PAUSE = 0.5
"""Seconds before the second try; doubled before each one after that."""
_LOCK_POLL = 0.3
"""Seconds between two looks at another process that downloads the same file."""
_OTHER_FOLDER = "make room there, or set REVERIE_WEIGHTS to another folder"
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which the same request may succeed: timeouts, too many requests, overload."""


class _BrokenError(Exception):
    """The network or the server failed; `may_retry` says whether that can pass by itself."""

    def __init__(self, reason: str, *, may_retry: bool, status: int | None = None) -> None:
        super().__init__(reason)
        self.may_retry = may_retry
        self.status = status


def download(
    url: str,
    target: Path,
    checksum: str,
    on_progress: Progress | None = None,
    *,
    algorithm: str = "sha256",
) -> None:
    """Download a file, or wait for another process that is doing so.

    Args:
        url: https, or http on this machine; proxies are those of the environment.
        target: where the file goes; its folder is made. Replaced whole or left as it is.
        checksum: the file's digest in hexadecimal, or its first digits.
        on_progress: called from this thread with bytes so far and in all, None while that is not
            known; "so far" goes back to 0 if the server cannot resume. An exception that it raises
            ends the download and is raised on; `target` + ".part" stays, and the next download goes
            on from there.
        algorithm: of the checksum, "sha256" or "sha1"; a whole SHA-1 allows http as well.
    Raises:
        WeightsError: no network, a server's refusal, a wrong checksum, a full or read-only disk.
    """
    check_url(url, allows_http=algorithm == "sha1")
    checksum = checksum.lower()
    with _disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    part_path = target.with_name(f"{target.name}.part")
    report = on_progress or _ignore
    with _lock(target, part_path, report):
        if target.is_file() and file_digest(target, algorithm).startswith(checksum):
            return  # another process was faster
        with _Part(part_path, target, algorithm) as part:
            digest = _fill(url, part, checksum, report)
        with _disk_errors(target):
            if not digest.startswith(checksum):
                part_path.unlink(missing_ok=True)
                raise WeightsError(
                    f"{target.name}: what {url} sent has the {DIGESTS[algorithm]} "
                    f"{digest[: len(checksum)]}, not {checksum}, and was deleted; "
                    f"try again later, or {by_hand(url, target)}."
                )
            part_path.replace(target)
    _log.info("downloaded %s from %s", target, url)


def by_hand(url: str, target: Path) -> str:
    """Say in half a sentence how a user gets the file without us."""
    return f"fetch {url} by hand and save it as {target}"


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Digest of a file, as hexadecimal digits (SHA-256: 64); raises OSError as `open` does."""
    digest = hashlib.new(algorithm)
    with path.open("rb") as file:
        while data := file.read(1024 * 1024):
            digest.update(data)
    return digest.hexdigest()


def check_url(url: str, *, allows_http: bool = False) -> None:
    """Refuse whatever is not https; http is for this machine only.

    A short checksum can be forged with patience, so that the way must be safe as well.

    Args:
        url: to be checked.
        allows_http: from other machines, too, because a whole checksum says what must arrive.
    Raises:
        WeightsError: with what is allowed.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise WeightsError(f"{url!r} is no address; weights come from https://... .") from None
    if not host or re.search(r"[^!-~]", url):
        raise WeightsError(f"{url!r} is no address; weights come from https://... .")
    is_http = parts.scheme == "http" and (allows_http or _is_this_machine(host))
    if parts.scheme != "https" and not is_http:
        raise WeightsError(
            f"{url!r} is not safe to download weights from; use an https:// address "
            "(http:// is for servers on this machine)."
        )


def _is_open_http(url: str) -> bool:
    """Tell whether an address that `check_url` has allowed is http of another machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not _is_this_machine(parts.hostname or "")


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _ignore(_so_far: int, _in_all: int | None) -> None:
    """Nobody asked for progress."""


@contextmanager
def _lock(target: Path, part_path: Path, report: Progress) -> Iterator[None]:
    """Hold the file's lock; while another process does, report how far it has come."""
    from filelock import FileLock, Timeout

    lock = FileLock(target.with_name(f"{target.name}.lock"))

    def is_ours() -> bool:
        with _disk_errors(target):
            try:
                lock.acquire(timeout=_LOCK_POLL)
            except Timeout:
                return False
            return True

    while not is_ours():  # `report` may raise: that is how a user stops waiting
        report(part_path.stat().st_size if part_path.exists() else 0, None)
    try:
        yield
    finally:
        lock.release()


@final
class _Part:
    """What has arrived so far, open for appending, and its digest.

    Attributes:
        target: the file that it becomes.
        size: bytes.
        doubtful: it was pieced together or may have been cut short, so that a wrong checksum need
            not be the server's fault.
    """

    def __init__(self, path: Path, target: Path, algorithm: str) -> None:
        self.target = target
        self._path = path
        self._algorithm = algorithm
        self._digest = hashlib.new(algorithm)
        self.size = 0
        self.doubtful = False

    def __enter__(self) -> _Part:
        with _disk_errors(self.target):
            self._file = self._path.open("a+b", buffering=0)
            self._file.seek(0)
            while data := self._file.read(1024 * 1024):
                self._count(data)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with _disk_errors(self.target), self._file:
            os.fsync(self._file.fileno())  # a crash must not leave a whole name on half a file

    @property
    def digest(self) -> str:
        """The digest so far, as hexadecimal digits."""
        return self._digest.hexdigest()

    def restart(self) -> None:
        """Forget all of it."""
        with _disk_errors(self.target):
            self._file.truncate(0)
        self._digest = hashlib.new(self._algorithm)
        self.size = 0
        self.doubtful = False

    def append(self, data: bytes) -> None:
        """Write more."""
        self._check_limit(self.size + len(data))
        with _disk_errors(self.target):
            view = memoryview(data)
            while view:  # an unbuffered file may take less than it was given
                view = view[self._file.write(view) :]
        self._count(data)

    def check_room(self, total: int) -> None:
        """Refuse a file of `total` bytes that is absurd, or more than the disk can hold."""
        self._check_limit(total)
        with _disk_errors(self.target):
            free = shutil.disk_usage(self._path.parent).free
        if (missing := total - self.size) > free:
            raise WeightsError(
                f"{self.target.name} needs {missing} more bytes in {self.target.parent}, and "
                f"{free} are free; {_OTHER_FOLDER}."
            )

    def _check_limit(self, total: int) -> None:
        if total > _LIMIT:
            raise WeightsError(
                f"{self.target.name}: the server sends {total} bytes or more, and weights have at "
                f"most {_LIMIT} ({_LIMIT // 1024**3} GiB); check the address."
            )

    def _count(self, data: bytes) -> None:
        self._digest.update(data)
        self.size += len(data)


def _fill(url: str, part: _Part, checksum: str, report: Progress) -> str:
    """Complete the part and give its digest; begin again once if it may be of two halves."""
    if part.digest.startswith(checksum):
        return part.digest  # it was whole already, only not yet renamed
    _persist(url, part, report)
    if part.doubtful and not part.digest.startswith(checksum):
        _log.warning(
            "%s: its parts do not fit; downloading it again from the start", part.target.name
        )
        part.restart()
        _persist(url, part, report)
    return part.digest


def _persist(url: str, part: _Part, report: Progress) -> None:
    """Receive to the end, going on after interruptions."""
    tries, furthest = 0, part.size
    while True:
        report(part.size, None)  # before a connection that may take long: a chance to cancel
        try:
            _receive(url, part, report)
        except _BrokenError as error:
            tries = 1 if part.size > furthest else tries + 1
            furthest = max(furthest, part.size)
            if tries >= _TRIES or not error.may_retry:
                often = f" ({tries} times)" if tries > 1 else ""
                raise WeightsError(
                    f"{part.target.name} could not be downloaded: {error}{often}; try again, or "
                    f"{by_hand(url, part.target)}."
                ) from None
            _log.info("%s: %s at %d bytes; trying again", part.target.name, error, part.size)
            time.sleep(_PAUSE * 2 ** (tries - 1))
        else:
            return


def _receive(url: str, part: _Part, report: Progress) -> None:
    """Connect once and append what comes."""
    headers = {"User-Agent": "reverie"}
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
    request = Request(url, headers=headers)  # noqa: S310 - check_url allows https and loopback
    try:
        with _network_errors():
            opener = build_opener(_SafeRedirects)  # with the proxies of the environment
            response: HTTPResponse = opener.open(request, timeout=_TIMEOUT)
    except _BrokenError as error:
        if part.size and error.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.restart()  # the part is longer than the file: it was another one
            raise _BrokenError("the server cannot resume", may_retry=True) from None
        raise
    with response:
        total = _place(response, part)
        report(part.size, total)
        while data := _read(response):
            part.append(data)
            report(part.size, total)
    if total is not None and part.size < total:
        raise _BrokenError(f"the connection broke at {part.size} of {total} bytes", may_retry=True)


class _SafeRedirects(HTTPRedirectHandler):
    """Goes only where the first request may go, too."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Check an address before anything is asked of it."""
        try:
            check_url(newurl, allows_http=_is_open_http(req.full_url))
        except WeightsError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _place(response: HTTPResponse, part: _Part) -> int | None:
    """Bring the part to where the answer begins; give the size of the whole file if it is told."""
    total: int | None = None
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if response.status == HTTPStatus.PARTIAL_CONTENT and span and int(span[1]) == part.size:
        total = None if span[2] == "*" else int(span[2])
        part.doubtful = True
    elif response.status == HTTPStatus.OK:  # all of it, whether or not that was asked
        length = response.headers.get("Content-Length", "")
        total = int(length) if re.fullmatch(r"\d{1,19}", length) else None
        part.restart()
    else:
        part.restart()
        raise _BrokenError(f"the server answered {response.status}", may_retry=True)
    if total is None:
        part.doubtful = True  # a broken connection looks like the end
    else:
        part.check_room(total)
    return total


def _read(response: HTTPResponse) -> bytes:
    with _network_errors():
        return response.read(_CHUNK)


@contextmanager
def _network_errors() -> Iterator[None]:
    """Say what failed, and whether to try again."""
    try:
        yield
    except HTTPError as error:
        with error:  # it is an open answer, too
            reason = " ".join(f"the server answered {error.code} {error.reason}".split())
        raise _BrokenError(reason, may_retry=error.code in _TRANSIENT, status=error.code) from None
    except (OSError, HTTPException) as error:
        cause = error.reason if isinstance(error, URLError) else error
        cause_number = getattr(cause, "errno", None)
        if isinstance(cause, socket.gaierror) or cause_number == errno.ENETUNREACH:
            raise _BrokenError(
                "there is no network, or its server has no address", may_retry=False
            ) from None
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise _BrokenError(
                f"its certificate is not trusted ({cause.verify_message})", may_retry=False
            ) from None
        raise _BrokenError(_in_words(cause), may_retry=True) from None


def _in_words(cause: BaseException | str) -> str:
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    """Turn a disk that is full, read-only or gone into one sentence."""
    try:
        yield
    except OSError as error:
        raise WeightsError(
            f"{target.name} cannot be written to {target.parent}: "
            f"{error.strerror or error}; {_OTHER_FOLDER}."
        ) from error
