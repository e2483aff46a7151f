from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import OpenerDirector

import pytest
from filelock import FileLock

from reverie.errors import WeightsError
from reverie.networks import download as module
from reverie.networks.download import check_url, download

if TYPE_CHECKING:
    from pathlib import Path

    from tests.networks.conftest import Shop

HALF = 200_000
"""Bytes; more than one chunk, less than the file."""


def part_of(target: Path) -> Path:
    return target.with_name(target.name + ".part")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "network.pth"


def fetch(shop: Shop, target: Path) -> list[tuple[int, int | None]]:
    """Download the shop's file, check that it is right, and give what progress was told."""
    seen: list[tuple[int, int | None]] = []
    download(shop.url, target, shop.sha256[:8], lambda *at: seen.append(at))
    assert target.read_bytes() == shop.content
    assert not part_of(target).exists()
    return seen


def refusal(shop: Shop, target: Path) -> str:
    """What a download that must fail says; it is one sentence for users."""
    with pytest.raises(WeightsError) as caught:
        download(shop.url, target, shop.sha256)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert not target.exists()
    return message


def test_a_file_arrives_whole_and_progress_is_told(shop: Shop, target: Path) -> None:
    seen = fetch(shop, target)
    size = len(shop.content)
    assert seen[0] == (0, None)
    assert seen[1:] == [(0, size), (131072, size), (262144, size), (size, size)]


def test_a_full_checksum_in_capitals_is_right_too(shop: Shop, target: Path) -> None:
    download(shop.url, target, shop.sha256.upper())
    assert target.exists()


def test_a_dropped_connection_is_resumed(shop: Shop, target: Path) -> None:
    shop.faults = [("drop", HALF)]
    seen = fetch(shop, target)
    assert shop.ranges == [None, f"bytes={HALF}-"]
    assert seen[-1] == (len(shop.content), len(shop.content))


def test_tries_that_bring_data_do_not_count(shop: Shop, target: Path) -> None:
    shop.faults = [("drop", 40_000)] * 6
    fetch(shop, target)
    assert len(shop.requests) == 7


def test_a_server_that_only_drops_is_given_up(shop: Shop, target: Path) -> None:
    shop.faults = [("drop", 0)] * 9
    message = refusal(shop, target)
    assert len(shop.requests) == module._TRIES
    assert "broke at 0 of 307200 bytes (4 times)" in message
    assert f"fetch {shop.url} by hand and save it as {target}" in message


def test_a_server_without_range_starts_again(shop: Shop, target: Path) -> None:
    shop.faults = [("drop", HALF)]
    shop.resumes = False
    seen = fetch(shop, target)
    assert (0, len(shop.content)) in seen[3:]


def test_a_file_of_unknown_length_arrives(shop: Shop, target: Path) -> None:
    shop.tells_length = False
    assert fetch(shop, target)[-1] == (len(shop.content), None)


def test_a_file_of_unknown_length_that_breaks_off_is_fetched_again(
    shop: Shop, target: Path
) -> None:
    shop.tells_length = False
    shop.faults = [("drop", HALF)]
    fetch(shop, target)


def test_a_server_that_promises_too_much_is_refused(shop: Shop, target: Path) -> None:
    shop.claims = len(shop.content) + 1
    refusal(shop, target)


def test_overload_passes(shop: Shop, target: Path) -> None:
    shop.faults = [500, 503, 429]
    fetch(shop, target)


@pytest.mark.parametrize("status", [401, 403, 404, 410, 416])
def test_a_refusal_is_not_asked_again(shop: Shop, target: Path, status: int) -> None:
    shop.faults = [status] * 9
    assert f"the server answered {status}" in refusal(shop, target)
    assert len(shop.requests) == 1


def test_wrong_content_is_deleted(shop: Shop, target: Path) -> None:
    shop.faults = [("send", b"<html>please log in</html>")] * 9
    message = refusal(shop, target)
    assert shop.sha256 in message
    assert "deleted" in message
    assert len(shop.requests) == 1
    assert not part_of(target).exists()


def test_a_part_left_behind_is_resumed(shop: Shop, target: Path) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(shop.content[:HALF])
    seen = fetch(shop, target)
    assert shop.ranges == [f"bytes={HALF}-"]
    assert seen[0] == (HALF, None)


def test_a_part_that_is_whole_needs_no_network(shop: Shop, target: Path) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(shop.content)
    fetch(shop, target)
    assert shop.requests == []


def test_a_part_of_another_file_is_thrown_away(shop: Shop, target: Path) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(b"x" * HALF)
    fetch(shop, target)
    assert shop.ranges == [f"bytes={HALF}-", None]


def test_a_part_longer_than_the_file_is_thrown_away(shop: Shop, target: Path) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(b"x" * (len(shop.content) + 5))
    fetch(shop, target)


def test_content_that_stays_wrong_is_fetched_twice_at_most(shop: Shop, target: Path) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(b"x" * 10)
    shop.faults = [("send", b"y" * 1000)] * 9
    refusal(shop, target)
    assert len(shop.requests) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, BrokenPipeError])
def test_an_interrupted_download_goes_on_later(
    shop: Shop, target: Path, error: type[BaseException]
) -> None:
    def stop(so_far: int, _in_all: int | None) -> None:
        if so_far:
            raise error

    with pytest.raises(error):
        download(shop.url, target, shop.sha256, stop)
    assert part_of(target).stat().st_size == 131072
    fetch(shop, target)
    assert shop.ranges == [None, "bytes=131072-"]


def test_two_processes_share_one_download(shop: Shop, target: Path) -> None:
    shop.delay = 0.5
    code = (
        "import sys; from pathlib import Path; from reverie.networks.download import download; "
        "download(sys.argv[1], Path(sys.argv[2]), sys.argv[3])"
    )
    command = [sys.executable, "-c", code, shop.url, str(target), shop.sha256]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    both = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [process.wait(timeout=30) for process in both] == [0, 0]
    assert target.read_bytes() == shop.content
    assert len(shop.requests) == 1


def test_waiting_for_another_process_can_be_cancelled(
    shop: Shop, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StopError(Exception):
        pass

    def stop(so_far: int, in_all: int | None) -> None:
        assert (so_far, in_all) == (3, None)
        raise StopError

    monkeypatch.setattr(module, "_LOCK_POLL", 0.05)
    target.parent.mkdir()
    part_of(target).write_bytes(b"abc")
    with FileLock(target.with_name(target.name + ".lock")), pytest.raises(StopError):
        download(shop.url, target, shop.sha256, stop)
    assert shop.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a.pth",
        "ftp://example.org/a.pth",
        "file:///etc/passwd",
        "/a.pth",
        "https:///a.pth",
        "https://[::1/a.pth",
        "https://example.org/a b.pth",
        "https://example.org/a\r\nX: y.pth",
        "http://127.0.0.1.example.org/a.pth",
        "",
    ],
)
def test_unsafe_addresses_are_refused(url: str) -> None:
    with pytest.raises(WeightsError, match=re.escape(repr(url))):
        check_url(url)


@pytest.mark.parametrize(
    "url", ["https://example.org/a.pth", "http://localhost:1/a", "http://[::1]/a"]
)
def test_https_and_this_machine_are_allowed(url: str) -> None:
    check_url(url)


def test_a_redirect_is_followed(shop: Shop, target: Path) -> None:
    shop.faults = [("redirect", f"{shop.address}/elsewhere")]
    fetch(shop, target)
    assert shop.requests[1] == "/elsewhere"


@pytest.mark.parametrize("url", ["http://example.org/a.pth", "https:///a", "file:///etc/passwd"])
def test_a_redirect_to_an_unsafe_address_is_refused(shop: Shop, target: Path, url: str) -> None:
    shop.faults = [("redirect", url)]
    message = refusal(shop, target)
    assert "not safe" in message or "no address" in message or "not allowed" in message


def test_redirects_in_a_circle_are_one_sentence(shop: Shop, target: Path) -> None:
    shop.faults = [("redirect", shop.url)] * 20
    assert "infinite loop" in refusal(shop, target)


def test_the_proxy_of_the_environment_is_used(
    shop: Shop, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", shop.address)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    download("http://localhost:9/network.pth", target, shop.sha256)
    assert shop.requests == ["http://localhost:9/network.pth"]


# SHA-1, which sources from before 2015 publish


def test_a_sha1_is_compared_as_well(shop: Shop, target: Path) -> None:
    shop.faults = [("drop", HALF)]
    download(shop.url, target, shop.sha1.upper(), algorithm="sha1")
    assert target.read_bytes() == shop.content
    assert shop.ranges == [None, f"bytes={HALF}-"]


def test_a_wrong_sha1_is_refused(shop: Shop, target: Path) -> None:
    shop.faults = [("send", b"something else")]
    with pytest.raises(WeightsError, match=rf"has the SHA-1 [0-9a-f]{{40}}, not {shop.sha1}"):
        download(shop.url, target, shop.sha1, algorithm="sha1")
    assert not target.exists()
    assert not part_of(target).exists()


@pytest.fixture
def anywhere(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """The shop answers for every http address."""
    monkeypatch.setenv("http_proxy", shop.address)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    return shop


def test_a_sha1_allows_http_and_redirects_to_it(anywhere: Shop, target: Path) -> None:
    anywhere.faults = [("redirect", "http://example.net/moved.caffemodel")]
    download("http://example.org/a.caffemodel", target, anywhere.sha1, algorithm="sha1")
    assert target.read_bytes() == anywhere.content
    assert anywhere.requests == [
        "http://example.org/a.caffemodel",
        "http://example.net/moved.caffemodel",
    ]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/a.pth", "https:///a"])
def test_a_sha1_allows_nothing_else(anywhere: Shop, target: Path, url: str) -> None:
    with pytest.raises(WeightsError, match=r"not safe|no address"):
        download(url, target, anywhere.sha1, algorithm="sha1")
    anywhere.faults = [("redirect", url)]
    with pytest.raises(WeightsError, match=r"not safe|no address|not allowed"):
        download("http://example.org/a.caffemodel", target, anywhere.sha1, algorithm="sha1")


def test_a_sha256_does_not_allow_http(anywhere: Shop, target: Path) -> None:
    with pytest.raises(WeightsError, match="not safe"):
        download("http://example.org/a.pth", target, anywhere.sha256)
    assert anywhere.requests == []


def test_no_network_is_said_at_once(
    shop: Shop, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_address(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_address)
    message = refusal(shop, target)
    assert "no network" in message
    assert f"fetch {shop.url} by hand and save it as {target}" in message


def test_a_server_that_is_away_is_asked_a_few_times(
    shop: Shop, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(*_: object, **__: object) -> None:
        asked.append(1)
        raise URLError(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"))

    monkeypatch.setattr(OpenerDirector, "open", refuse)
    assert "Connection refused (4 times)" in refusal(shop, target)
    assert len(asked) == 4


def test_a_server_that_falls_silent_is_given_up(
    shop: Shop, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TIMEOUT", 0.05)
    monkeypatch.setattr(module, "_TRIES", 2)
    shop.delay = 0.3
    assert "timed out (2 times)" in refusal(shop, target)


def test_a_certificate_that_is_not_trusted_is_named(
    shop: Shop, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def distrust(*_: object, **__: object) -> None:
        error = ssl.SSLCertVerificationError(1, "certificate verify failed")
        error.verify_message = "self-signed certificate"
        raise URLError(error)

    monkeypatch.setattr(OpenerDirector, "open", distrust)
    assert "not trusted (self-signed certificate)" in refusal(shop, target)


def test_a_file_too_large_for_weights_is_refused(shop: Shop, target: Path) -> None:
    shop.claims = module._LIMIT + 1
    assert f"{module._LIMIT + 1} bytes or more" in refusal(shop, target)


def test_a_file_of_unknown_length_ends_at_the_limit(
    shop: Shop, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LIMIT", HALF)
    shop.tells_length = False
    assert str(HALF) in refusal(shop, target)
    assert part_of(target).stat().st_size <= HALF


def test_too_little_room_is_said_before_it_is_used(
    shop: Shop, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    message = refusal(shop, target)
    assert f"needs 307200 more bytes in {target.parent}, and 1000 are free" in message
    assert "REVERIE_WEIGHTS" in message


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX")
def test_a_disk_that_runs_full_is_one_sentence(shop: Shop, target: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, before[1]))
    try:
        message = refusal(shop, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert f"cannot be written to {target.parent}: File too large" in message


def test_a_folder_that_cannot_be_made_is_one_sentence(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "network.pth"
    assert f"cannot be written to {target.parent}" in refusal(shop, target)


def test_a_folder_that_is_read_only_is_one_sentence(shop: Shop, tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("nothing is forbidden to this user")
    assert "Permission denied" in refusal(shop, tmp_path / "network.pth")
    tmp_path.chmod(0o755)


def test_a_folder_in_the_place_of_the_file_is_one_sentence(shop: Shop, target: Path) -> None:
    target.mkdir(parents=True)
    with pytest.raises(WeightsError, match="cannot be written"):
        download(shop.url, target, shop.sha256)
