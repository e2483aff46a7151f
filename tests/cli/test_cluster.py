"""A real Ray on this machine: the same bytes, each dream once, whatever is killed meanwhile."""

from __future__ import annotations

import ast
import os
import re
import secrets
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

import reverie
from reverie.cli import cluster, crew
from reverie.cli.places import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.conftest import CommandLine

LEAST = "--size 64 --octaves 1 --objective outlines --precision float32"
needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is not installed: make test-ray"
)


# -- without Ray ---------------------------------------------------------------------------------


def test_without_ray_the_command_that_installs_it_is_said(
    cli: CommandLine, waves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda _: None)
    assert 'pip install "reverie[ray]"' in cli.dream(waves, "--ray", "auto").sentence


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://localhost:{}"])
def test_an_address_where_nobody_answers_is_said_at_once(
    cli: CommandLine, waves: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda _: object())
    address = address.format(free_port())
    start = time.monotonic()
    assert f"no Ray cluster answers at {address}" in cli.dream(waves, "--ray", address).sentence
    assert time.monotonic() - start < 20


def test_a_server_that_is_not_ray_is_said_at_once(
    cli: CommandLine, waves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda _: object())

    class Greeting(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Greeting) as server:
        threading.Thread(target=server.handle_request).start()
        address = f"127.0.0.1:{server.server_address[1]}"
        sentence = cli.dream(waves, "--ray", address).sentence
    assert f"no Ray cluster answers at {address} (something else is there)" in sentence


def test_ray_is_imported_only_where_it_is_used() -> None:
    package = Path(reverie.__file__).parent
    users = {
        path.name
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import) and any(a.name.startswith("ray") for a in node.names)
        if node.col_offset == 0 or path.name != "cluster.py"
    }
    assert not users


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# -- with Ray ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cluster:
    pid: int
    port: int
    client_port: int

    def workers(self) -> list[int]:
        """Processes of this cluster in which a dreamer runs."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                title = (folder / "cmdline").read_bytes()
            except OSError:  # it has ended
                continue
            if title.startswith(b"ray::Dreamer") and self.pid in ancestors(int(folder.name)):
                found.append(int(folder.name))
        return found


def ancestors(pid: int) -> list[int]:
    found = []
    while pid > 1:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
        except OSError:
            break
        pid = int(stat.rpartition(")")[2].split()[1])
        found.append(pid)
    return found


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Cluster]:
    """A cluster of one machine with two cores, which lets in only this session."""
    secret = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    folder = tempfile.mkdtemp(dir="/tmp")  # Ray's sockets need a short path
    port, client_port = free_port(), free_port()
    words = (
        f"start --head --block --num-cpus=2 --port={port} --ray-client-server-port={client_port} "
        f"--include-dashboard=false --object-store-memory=200000000 --temp-dir={folder}"
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in secret.items():
            patch.setenv(name, value)
        head = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", *words.split()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: answers(port) and answers(client_port), 60)
            yield Cluster(head.pid, port, client_port)
        finally:
            head.terminate()
            head.wait(30)
            shutil.rmtree(folder, ignore_errors=True)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def wait_until(happened: Callable[[], Any], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "reverie", "dream", *LEAST.split(), *map(str, words)]


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*words), capture_output=True, text=True, timeout=180, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def frames(folder: Path) -> list[str]:
    """Names of the dreams of eight frames in `frames/`, for the folders `out/` and `plain/`."""
    for name in ("frames", "out", "plain"):
        (folder / name).mkdir()
    sky = Image.open(Path(reverie.__file__).parent / "samples" / "sky.jpg")
    for number in range(8):
        frame = sky.crop((number * 40, 60, number * 40 + 320, 300)).resize((64, 48))
        frame.save(f"frames/{number}.png")
    return [f"{number}.dream.png" for number in range(8)]


def contents(place: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(place).iterdir()}


@needs_ray
@pytest.mark.parametrize("address", ["127.0.0.1:{0.port}", "ray://127.0.0.1:{0.client_port}"])
def test_a_cluster_writes_the_bytes_of_the_ordinary_command(
    ray_cluster: Cluster, frames: list[str], address: str
) -> None:
    Path("frames/3.png").write_bytes(b"Dear diary")
    Image.linear_gradient("L").save("mask.png")
    same = ("frames", "--steps", "1", "--mask", "mask.png")
    assert run(*same, "-o", "plain").returncode == 1
    ray = address.format(ray_cluster)
    first = run(*same, "-o", "out", "--ray", ray)
    assert (first.returncode, len(first.stdout.splitlines())) == (1, 7)
    wrong, summary = first.stderr.splitlines()
    assert wrong.startswith("reverie: frames/3.png is not a picture reverie can read")
    assert summary == "1 of 8 pictures could not be dreamed."
    assert contents("out") == contents("plain")
    shutil.copy("frames/2.png", "frames/3.png")
    os.utime("frames/3.png", (1, 1))
    second = run(*same, "-o", "out", "--ray", ray)
    assert (second.returncode, second.stdout) == (0, "out/3.dream.png\n")
    assert second.stderr == "reverie: 7 of 8 dreams are there already.\n"
    assert sorted(contents("out")) == frames


@needs_ray
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_killed_goes_on(
    ray_cluster: Cluster, frames: list[str], how: signal.Signals
) -> None:
    same = ("frames", "--steps", "60", "-o")
    words = (*same, "out", "--ray", f"127.0.0.1:{ray_cluster.port}")
    with subprocess.Popen(command(*words), stderr=subprocess.PIPE, text=True) as first:
        assert first.stderr is not None
        wait_until(lambda: (first.poll() is not None) or contents("out").keys() & set(frames), 120)
        first.send_signal(how)
        said = first.stderr.read()
    assert first.returncode == (130 if how == signal.SIGINT else -how)
    assert how == signal.SIGKILL or "pictures are left; the same command goes on." in said
    before = {
        path.name: path.stat().st_mtime_ns
        for path in Path("out").iterdir()
        if not path.name.startswith(".")  # what a killed process was about to write
    }
    assert 0 < len(before) < len(frames), "it was killed too late"
    second = run(*words)
    assert second.returncode == 0
    assert f"{len(before)} of 8 dreams are there already." in second.stderr
    assert run(*same, "plain").returncode == 0
    whole = contents("out")
    assert {name: whole[name] for name in frames} == contents("plain")
    assert all(Path("out", name).stat().st_mtime_ns == made for name, made in before.items())


@needs_ray
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers in /proc")
def test_a_worker_that_is_killed_costs_no_dream(ray_cluster: Cluster, frames: list[str]) -> None:
    same = ("frames", "--steps", "60", "-o")
    words = (*same, "out", "--ray", f"127.0.0.1:{ray_cluster.port}")
    pipe = subprocess.PIPE
    with subprocess.Popen(command(*words), stdout=pipe, stderr=pipe, text=True) as driver:
        wait_until(lambda: driver.poll() is not None or contents("out"), 120)
        victims = ray_cluster.workers()
        os.kill(victims[0], signal.SIGKILL)
        written, said = driver.communicate(timeout=180)
    assert len(victims) == 2
    assert driver.returncode == 0
    assert sorted(written.splitlines()) == [f"out/{name}" for name in frames]
    assert re.fullmatch(r"reverie: a worker was lost; frames/\d.png is dreamed again.\n", said)
    assert run(*same, "plain").returncode == 0
    assert contents("out") == contents("plain")


@needs_ray
def test_local_needs_no_cluster(frames: list[str]) -> None:
    done = run("frames/0.png", "--steps", "1", "-o", "out", "--ray", "local", "--ray-cpus", "1")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"out/{frames[0]}\n", "")
    assert run("frames/0.png", "--steps", "1", "-o", "plain").returncode == 0
    assert contents("out") == contents("plain")


# -- the crew alone, with workers that only pretend to dream -------------------------------------


@pytest.fixture
def hire(ray_cluster: Cluster) -> Iterator[Callable[[type, int], crew.Crew]]:
    """Start a crew of workers of a class, in this process."""
    with (
        pytest.MonkeyPatch.context() as patch,
        cluster._connected(f"127.0.0.1:{ray_cluster.port}") as ray,
    ):

        def start(kind: type, most: int) -> crew.Crew:
            patch.setattr(crew, "Dreamer", kind)
            return crew.Crew(ray, {"device": "cpu", "threads": 1, "memory": None}, most=most)

        yield start


@pytest.fixture
def jobs(frames: list[str]) -> list[Job]:
    return [
        Job(photo=Path("frames", f"{number}.png"), out=Path("out", name), is_exact=True)
        for number, name in enumerate(frames)
    ]


@needs_ray
@pytest.mark.parametrize("most", [1, 2])
def test_a_picture_that_ends_its_workers_is_given_up_and_blames_no_other(
    hire: Callable[[type, int], crew.Crew], jobs: list[Job], most: int
) -> None:
    class Dreamer:
        def load(self, _order: Any) -> dict[str, str]:
            return {"precision": "float32"}

        def dream(self, photo: str, *_: Any) -> dict[str, Any]:
            if photo == "frames/3.png":
                os._exit(9)
            return {"notes": (), "data": photo.encode()}

    with hire(Dreamer, most) as workers:
        assert workers.precision() == "float32"
        answers = [(job.photo.name, answer) for job, answer in workers.dreams(jobs, "float32")]
    assert Counter(name for name, _ in answers) == Counter(job.photo.name for job in jobs)
    faults = {name: answer["fault"] for name, answer in answers if "fault" in answer}
    assert list(faults) == ["3.png"]
    assert f"frames/3.png ended {crew.TRIES} workers" in faults["3.png"]


@needs_ray
def test_workers_that_cannot_start_end_the_command(
    hire: Callable[[type, int], crew.Crew],
) -> None:
    class Dreamer:
        def load(self, _order: Any) -> dict[str, str]:
            raise ModuleNotFoundError("No module named 'torch'")

    with (
        pytest.raises(reverie.ReverieError, match=r"could start \(.*No module named 'torch'"),
        hire(Dreamer, 2) as workers,
    ):
        workers.precision()


@needs_ray
def test_a_fault_of_one_machine_is_said_and_a_defect_names_its_picture(
    hire: Callable[[type, int], crew.Crew], jobs: list[Job]
) -> None:
    class Sick:
        def load(self, _order: Any) -> dict[str, str]:
            return {"fault": "box7 has reverie 0.0.1, you have 0.1.0; install the same release."}

    class Defective(Sick):
        def load(self, _order: Any) -> dict[str, str]:
            return {"precision": "float32"}

        def dream(self, *_: Any) -> dict[str, Any]:
            raise KeyError("a defect")

    with pytest.raises(reverie.ReverieError, match="box7 has"), hire(Sick, 1) as workers:
        workers.precision()
    with hire(Defective, 1) as workers:
        workers.precision()
        answers = list(workers.dreams(jobs[:2], "float32"))
    assert [job for job, _ in answers] == jobs[:2]
    assert "frames/0.png could not be dreamed (KeyError: 'a defect')." in answers[0][1]["fault"]


@needs_ray
def test_a_picture_that_vanished_is_named(
    hire: Callable[[type, int], crew.Crew], jobs: list[Job]
) -> None:
    class Dreamer:
        def load(self, _order: Any) -> dict[str, str]:
            return {"precision": "bf16"}

        def dream(self, photo: str, _data: bytes, _out: str, precision: str) -> dict[str, Any]:
            return {"notes": (photo, precision), "data": b""}

    jobs[1].photo.unlink()
    with hire(Dreamer, 1) as workers:
        answers = dict(workers.dreams(jobs[:3], workers.precision()))
    assert answers[jobs[1]]["fault"].startswith("frames/1.png cannot be read")
    assert answers[jobs[2]]["notes"] == ("frames/2.png", "bf16")
