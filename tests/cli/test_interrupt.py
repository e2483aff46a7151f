"""Ctrl-C keeps what was dreamed, and the progress bar says how long it takes."""

from __future__ import annotations

import functools
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tqdm import tqdm

from reverie.cli import dreaming, main
from reverie.cli.progress import Interrupt
from reverie.picture import read_picture, read_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import CommandLine

    from reverie import Step


@pytest.fixture
def press(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Press Ctrl-C after these steps, counted from 1 over all pictures."""

    def at(*steps: int) -> None:
        left = sorted(steps, reverse=True)
        seen = 0

        def dream_and_press(*args: Any, on_step: Callable[[Step], None], **kwargs: Any) -> Any:
            def stepped(step: Step) -> None:
                nonlocal seen
                seen += 1
                if step.step == 1 and seen not in left:
                    return on_step(step)
                while left and left[-1] == seen:
                    left.pop()
                    signal.raise_signal(signal.SIGINT)
                return on_step(step)

            return dream(*args, on_step=stepped, **kwargs)

        dream = dreaming.dream_on  # type: ignore[attr-defined] # the name under which it is used
        monkeypatch.setattr(dreaming, "dream_on", dream_and_press)

    return at


def stopped_at(path: Path) -> float | None:
    record = read_record(path)
    assert record is not None
    value: float | None = json.loads(record).get("stopped_at")
    return value


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_ctrl_c_keeps_the_dream_so_far(
    cli: CommandLine, waves: Path, press: Callable[..., None]
) -> None:
    before = signal.getsignal(signal.SIGINT)
    press(3)
    answer = cli.dream(waves.name, "--steps", "10")
    out = waves.with_name("waves.dream.png")
    assert (answer.code, answer.paths) == (130, [out.name])
    assert "waves.dream.png has the dream so far, 30 %." in answer.err
    assert "reverie: stopped." in answer.err
    assert stopped_at(out) == 0.3
    assert not np.array_equal(read_picture(out).pixels, read_picture(waves).pixels)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_stopped_dream_can_be_dreamed_to_the_end(
    cli: CommandLine, waves: Path, press: Callable[..., None]
) -> None:
    press(2)
    assert cli.dream(waves.name, "--steps", "4").code == 130
    assert cli("dream", waves.name, "--recipe", "waves.dream.png").code == 0
    assert stopped_at(waves.with_name("waves.dream-2.png")) is None


def test_ctrl_c_before_the_first_step_writes_nothing(
    cli: CommandLine, waves: Path, press: Callable[..., None]
) -> None:
    press(1)
    answer = cli.dream(waves.name, "--steps", "10")
    assert (answer.code, answer.out, answer.err) == (130, "", "reverie: stopped.\n")
    assert names(waves.parent) == {"waves.png"}


def test_a_second_ctrl_c_ends_at_once(
    cli: CommandLine, waves: Path, press: Callable[..., None]
) -> None:
    press(3, 3)
    answer = cli.dream(waves.name, "--steps", "10")
    assert (answer.code, answer.out) == (130, "")
    assert names(waves.parent) == {"waves.png"}


def test_ctrl_c_at_the_last_step_loses_nothing(
    cli: CommandLine, waves: Path, press: Callable[..., None]
) -> None:
    press(4)
    assert cli.dream(waves.name, "--steps", "4").code == 130
    assert stopped_at(waves.with_name("waves.dream.png")) is None


def test_ctrl_c_while_writing_loses_nothing(
    cli: CommandLine, waves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press_and_write(*args: Any, **kwargs: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        write(*args, **kwargs)

    write = dreaming.write_picture  # type: ignore[attr-defined] # the name under which it is used
    monkeypatch.setattr(dreaming, "write_picture", press_and_write)
    answer = cli.dream(waves.name)
    assert (answer.code, answer.paths) == (130, ["waves.dream.png"])
    assert stopped_at(waves.with_name("waves.dream.png")) is None


def test_ctrl_c_stops_the_batch(cli: CommandLine, waves: Path, press: Callable[..., None]) -> None:
    for name in ("a.png", "b.png"):
        waves.with_name(name).write_bytes(waves.read_bytes())
    press(6)
    answer = cli.dream("a.png", "b.png", "waves.png", "--steps", "4")
    assert (answer.code, answer.paths) == (130, ["a.dream.png", "b.dream.png"])
    assert "stopped; 1 more of 3 pictures were not begun." in answer.err
    assert stopped_at(waves.with_name("a.dream.png")) is None
    assert stopped_at(waves.with_name("b.dream.png")) == 0.5


def test_it_dreams_off_the_main_thread(waves: Path) -> None:
    codes: list[int] = []
    words = ["dream", "waves.png", "--size", "48", "--octaves", "1", "--steps", "1"]
    thread = threading.Thread(target=lambda: codes.append(main(words)))
    thread.start()
    thread.join()
    assert codes == [0]
    assert waves.with_name("waves.dream.png").exists()


def test_a_shell_that_ignores_ctrl_c_is_obeyed() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            interrupt.has_begun = True
            signal.raise_signal(signal.SIGINT)
            assert not interrupt.asked
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


# -- the bar -------------------------------------------------------------------------------------


def test_a_terminal_shows_how_long_it_takes(
    cli: CommandLine, waves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    # Show every step: on a fast machine tqdm has no time to draw the last octave.
    every_step = functools.partial(tqdm, mininterval=0, miniters=0)
    monkeypatch.setattr("reverie.cli.progress.tqdm", every_step)
    answer = cli.dream(waves.name, "--steps", "40", "--octaves", "2", "--octave-scale", "1.1")
    assert answer.out == "waves.dream.png\n"
    assert "waves.png   0% |" in answer.err
    assert " left, octave 2/2, objective " in answer.err


def test_quiet_shows_none(cli: CommandLine, waves: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert cli.dream(waves.name, "--steps", "40", "--quiet").err == ""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.usefixtures("waves")
def test_ctrl_c_in_a_real_terminal() -> None:
    import fcntl
    import pty
    import termios

    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    words = [
        "-m",
        "reverie",
        "dream",
        "waves.png",
        "--octaves",
        "1",
        "--steps",
        "1000",
        "--device",
        "cpu",
    ]
    with subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=end, text=True
    ) as process:
        os.close(end)
        seen = ""
        while "left, octave 1/1, objective" not in seen:
            seen += os.read(terminal, 4096).decode()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    os.close(terminal)
    assert (process.returncode, out) == (130, "waves.dream.png\n")
    assert 0 < (stopped_at(Path("waves.dream.png")) or 0) < 1
    assert read_picture(Path("waves.dream.png")).pixels.shape == (48, 40, 3)
