"""What is there: networks, presets, objectives, parameterizations, hosts; and what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import reverie
from reverie import Host, Network, plugins
from reverie.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import CommandLine


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, object], None]]:
    """Install a plug-in; an exception in its place is raised when it is loaded."""

    def install(name: str, plugin: object) -> None:
        def load() -> object:
            if isinstance(plugin, Exception):
                raise plugin
            return plugin

        point = SimpleNamespace(name=name, value=f"{name}:plugin", load=load)
        monkeypatch.setattr(plugins, "entry_points", lambda **_: [point])
        plugins.registry.cache_clear()

    yield install
    plugins.registry.cache_clear()


def one(hook: str, *records: Any) -> object:
    """A plug-in with one hook."""

    def implementation() -> Any:
        return records

    implementation.__name__ = hook
    return SimpleNamespace(**{hook: reverie.hookimpl(implementation)})


def test_every_preset_is_listed_with_its_source(cli: CommandLine) -> None:
    answer = cli("presets")
    assert answer.code == 0
    heading, *rows = answer.out.splitlines()
    assert heading.split()[:3] == ["preset", "network", "from"]
    assert len(rows) == len(reverie.registry().presets())
    assert "google/deepdream, dream.ipynb, 2015" in answer.out


def test_only_the_presets_that_are_named_are_listed(cli: CommandLine) -> None:
    rows = cli("presets", "--only", "vivid", "subtle").out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["vivid", "subtle"]


def test_every_network_is_listed(cli: CommandLine) -> None:
    answer = cli("networks")
    rows = {line.split()[0]: line.split()[1:4] for line in answer.out.splitlines() if line}
    assert rows["embedded"] == ["reverie", "no", "creatures"]
    assert rows["googlenet"] == ["reverie", "once", "inception4c"]
    assert reverie.registry().networks().keys() <= rows.keys()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("objectives", "neuron(name, index, x=0.5, y=0.5)  "),
        ("parameterizations", "pixels"),
        ("hosts", "command-line  reverie"),
    ],
)
def test_lists_say_what_is_there(cli: CommandLine, command: str, words: str) -> None:
    answer = cli(command)
    assert (answer.code, answer.err) == (0, "")
    assert words in answer.out


def test_a_plug_ins_records_are_listed_with_its_name(
    cli: CommandLine, plug: Callable[[str, object], None]
) -> None:
    network = Network(name="edges", summary="Edges.", load=lambda _: None)  # type: ignore[arg-type, return-value]
    plug("somebodys", one("reverie_networks", network))
    assert "edges               somebodys  no" in cli("networks").out


def test_the_layers_of_a_network_are_shown(cli: CommandLine) -> None:
    answer = cli("networks", "show", "embedded")
    assert answer.code == 0
    rows = {line.split()[0]: line.split() for line in answer.out.splitlines() if line}
    assert rows["layer"][-4:] == ["px", "receptive", "field", "px"]
    assert rows["eyes"] == ["eyes", "Sequential", "384", "8", "88"]
    assert rows["creatures"][1] == "(default)"


def test_the_layers_of_a_network_with_own_weights_are_shown(
    cli: CommandLine, squeezenet: str
) -> None:
    assert "features.12" in cli("networks", "show", squeezenet).out


def test_the_words_of_a_classifier_are_listed_without_its_weights(cli: CommandLine) -> None:
    answer = cli("networks", "words", "googlenet", "TABBY")
    assert (answer.code, answer.out.split()) == (0, ["class", "word", "281", "tabby"])
    assert len(cli("networks", "words", "squeezenet1_0").out.splitlines()) == 1001


def test_words_that_are_not_there_are_told(
    cli: CommandLine, plug: Callable[[str, object], None]
) -> None:
    assert "did you mean 'tabby'" in cli("networks", "words", "googlenet", "tabyb").sentence
    assert (
        "did you mean 'bald eagle'" in cli("networks", "words", "embedded", "bald eagel").sentence
    )
    wordless = Network(name="wordless", summary="Shapes.", load=lambda _: None)  # type: ignore[arg-type, return-value]
    plug("somebodys", one("reverie_networks", wordless))
    assert "'wordless' has no words" in cli("networks", "words", "wordless").sentence
    assert "did you mean 'googlenet'" in cli("networks", "words", "googelnet").sentence


def test_a_network_that_needs_no_download_says_so(cli: CommandLine) -> None:
    answer = cli("networks", "fetch", "embedded")
    assert (answer.code, answer.out) == (0, "")
    assert "embedded needs no download." in answer.err


def test_fetching_without_a_network_says_address_and_folder(cli: CommandLine) -> None:
    sentence = cli("networks", "fetch", "googlenet").sentence
    assert "https://download.pytorch.org/models/googlenet-1378be20.pth" in sentence
    assert os.environ["TORCH_HOME"] in sentence


@pytest.mark.parametrize("action", ["show", "fetch"])
def test_an_unknown_network_is_answered_with_the_nearest(cli: CommandLine, action: str) -> None:
    assert "did you mean 'googlenet'" in cli("networks", action, "googelnet").sentence


# -- the doctor ----------------------------------------------------------------------------------


def test_the_doctor_finds_nothing_wrong(cli: CommandLine) -> None:
    answer = cli("doctor")
    assert answer.code == 0, answer.out
    assert answer.out.endswith("All is well.\n")
    for said in ("ok     torch ", "ok     tifffile ", "the embedded network dreams"):
        assert said in answer.out


def faults(cli: CommandLine) -> list[str]:
    answer = cli("doctor")
    found = [line for line in answer.out.splitlines() if line.startswith("FAULT")]
    assert answer.code == (1 if found else 0)
    assert f"{len(found)} fault(s) found." in answer.out
    return found


def test_a_folder_for_weights_that_cannot_be_written_is_a_fault(
    cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("REVERIE_WEIGHTS", str(tmp_path / "file" / "weights"))
    (fault,) = faults(cli)
    assert "set REVERIE_WEIGHTS to a folder that you may write to" in fault


def test_a_plug_in_that_cannot_be_loaded_is_a_fault(
    cli: CommandLine, plug: Callable[[str, object], None]
) -> None:
    plug("somebodys", ImportError("no module named theirs"))
    (fault,) = faults(cli)
    assert "'somebodys' cannot be loaded: ImportError: no module named theirs" in fault
    assert fault.endswith("upgrade or uninstall it")


def test_a_plug_in_with_a_misspelt_hook_is_one_fault(
    cli: CommandLine, plug: Callable[[str, object], None]
) -> None:
    plug("somebodys", one("reverie_netwroks"))
    (fault,) = faults(cli)
    assert "somebodys" in fault
    assert "did you mean 'reverie_networks'" in fault
    assert "reverie_networks" in cli("networks").sentence


@pytest.mark.parametrize("raises", [False, True])
def test_a_hosts_own_findings_are_faults(
    cli: CommandLine, plug: Callable[[str, object], None], *, raises: bool
) -> None:
    def doctor() -> list[str]:
        if raises:
            raise OSError("no such program")
        return ["GIMP is not installed; install GIMP 3."]

    host = Host(name="gimp", summary="-", control=str, to_image=str, from_image=str, doctor=doctor)  # type: ignore[arg-type]
    plug("somebodys", one("reverie_hosts", host))
    (fault,) = faults(cli)
    assert ("gimp: its own check failed" if raises else "gimp: GIMP is not installed") in fault


def test_a_library_that_is_missing_is_a_fault(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name == "tifffile":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    real = metadata.version
    monkeypatch.setattr(metadata, "version", version)
    (fault,) = faults(cli)
    assert fault.startswith('FAULT  tifffile is not installed; run: pip install "tifffile>=')


def test_a_library_that_is_too_old_is_a_fault(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {"torch": "2.5.1+cpu", "tqdm": "99.0rc1"}  # the newer one will do
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: versions.get(name) or real(name))
    (fault,) = faults(cli)
    assert fault == (
        'FAULT  torch 2.5.1+cpu is installed, >=2.6 is needed; run: pip install "torch>=2.6"'
    )


# -- the command itself --------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["", "dreem", "dream a.png --octave 3", "networks shw", "info"])
def test_a_command_that_is_not_understood_shows_how(
    cli: CommandLine, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli(*words.split())
    assert caught.value.code == 2
    assert "usage: reverie" in capsys.readouterr().err


def test_help_has_an_option_for_each_setting(
    cli: CommandLine, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli("dream", "--help")
    said = capsys.readouterr().out
    for setting in reverie.settings():
        assert f"--{setting.name.replace('_', '-')}" in said
        assert options.control(setting)["help"]


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
def test_names_that_are_no_text_are_given_on_byte_for_byte(waves: Path) -> None:
    name = os.fsdecode(b"\xff.png")
    waves.rename(waves.with_name(name))
    words = ["-m", "reverie", "dream", "--size", "48", "--octaves", "1", "--steps", "1"]
    done = subprocess.run([sys.executable, *words, name], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\xff.dream.png\n", b"")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise there")
def test_a_reader_that_has_seen_enough_is_no_fault() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "reverie", "presets"]
    done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_download_shows_how_much_there_is_once_the_server_has_said_it() -> None:
    from reverie.cli.speech import DownloadBar

    with DownloadBar("network") as bar:
        bar.update(0, None)
        bar.update(50, 200)
        assert bar._bar is not None
        assert bar._bar.total == 200
