"""`reverie install gimp`: every profile of the user, and nobody's else."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

import reverie
from reverie.cli import main
from reverie.installing import MARKER
from reverie_gimp.installer import INSTALLATION, SCRIPT, installed
from reverie_gimp.profiles import PLUGIN, plugin_folder, profiles


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user of Linux with no GIMP yet."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("GIMP3_DIRECTORY", "XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REVERIE_WORKER_DIR", str(tmp_path / "worker"))
    return tmp_path


def profile(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "gimprc").write_text("", "utf-8")
    return folder


def install(*words: str) -> int:
    return main(["install", "gimp", *words])


def test_every_profile_of_gimp_3_is_found_and_none_of_gimp_2(home: Path) -> None:
    config = home / ".config" / "GIMP"
    wanted = [
        profile(config / "3.0"),
        profile(config / "3.2"),
        profile(home / ".var/app/org.gimp.GIMP/config/GIMP/3.0"),
        profile(home / "snap/gimp/current/.config/GIMP/3.0"),
    ]
    profile(config / "2.10")
    assert profiles() == wanted


@pytest.mark.parametrize(
    ("platform", "variable", "place"),
    [
        ("linux", "XDG_CONFIG_HOME", "cfg/GIMP/3.0"),
        ("win32", "APPDATA", "cfg/GIMP/3.0"),
        ("darwin", "UNUSED", "Library/Application Support/GIMP/3.0"),
        ("linux", "GIMP3_DIRECTORY", "cfg"),
    ],
)
def test_the_profile_is_where_the_system_has_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, platform: str, variable: str, place: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv(variable, str(home / "cfg"))
    wanted = profile(home / place)
    assert profiles() == [wanted]


def test_without_gimp_the_user_is_told_to_start_it_once(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install() == 1
    said = capsys.readouterr().err
    assert str(home / ".config" / "GIMP") in said
    assert "start GIMP 3 once" in said
    assert "--path" in said


def test_the_plugin_comes_into_every_profile_with_what_it_must_know(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for version in ("3.0", "3.2"):
        profile(home / ".config" / "GIMP" / version)
    assert install() == 0
    said = capsys.readouterr().out
    for version in ("3.0", "3.2"):
        folder = home / ".config" / "GIMP" / version / "plug-ins" / PLUGIN
        assert str(folder) in said
        script = folder / SCRIPT
        assert folder.name == script.stem, "GIMP asks for it"
        assert os.access(script, os.X_OK)
        facts = json.loads((folder / INSTALLATION).read_text("utf-8"))
        assert facts["python"] == sys.executable
        assert facts["worker"] == str(home / "worker")
        assert facts["reverie"] == reverie.__version__
        assert {preset["name"] for preset in facts["presets"]} == set(reverie.registry().presets())
    assert "Start GIMP anew" in said


def test_the_script_s_folder_is_no_name_that_python_could_import() -> None:
    assert PLUGIN != "reverie"
    assert not PLUGIN.isidentifier()


def test_installing_again_makes_gimp_ask_the_script_again(home: Path) -> None:
    profile(home / ".config/GIMP/3.0")
    install()
    (script,) = (folder / SCRIPT for folder in installed())
    os.utime(script, (1, 1))
    before = time.time() - 60
    assert install() == 0
    assert script.stat().st_mtime > before


@pytest.mark.parametrize("given", ["3.0", "3.0/plug-ins", f"3.0/plug-ins/{PLUGIN}", "my-plugins"])
def test_path_may_be_the_profile_its_plugins_or_a_folder_of_plugins(home: Path, given: str) -> None:
    root = profile(home / "GIMP" / "3.0")
    (root / "plug-ins" / PLUGIN).mkdir(parents=True)
    own = home / "GIMP" / "my-plugins"
    (own / "another").mkdir(parents=True)
    expected = (own if given == "my-plugins" else root / "plug-ins") / PLUGIN
    if given == "my-plugins":  # what lies in a folder called GIMP is a profile, unless it says more
        own = own.rename(home / "my-plugins")
        assert plugin_folder(own) == own / PLUGIN
        return
    assert plugin_folder(home / "GIMP" / given) == expected


def test_a_path_that_is_not_there_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install("--path", str(home / "nowhere")) == 1
    assert "is not a folder" in capsys.readouterr().err


def test_a_folder_of_somebody_else_is_left_alone(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = profile(home / ".config/GIMP/3.0") / "plug-ins" / PLUGIN
    other.mkdir(parents=True)
    (other / SCRIPT).write_text("mine", "utf-8")
    assert install() == 1
    assert install("--uninstall", "--path", str(other)) == 1
    assert "not made by reverie" in capsys.readouterr().err
    assert [path.name for path in other.iterdir()] == [SCRIPT]


def test_uninstalling_removes_the_plugin_and_says_when_there_is_none(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugins = profile(home / ".config/GIMP/3.0") / "plug-ins"
    install()
    (plugins / PLUGIN / "__pycache__").mkdir()
    assert install("--uninstall") == 0
    assert list(plugins.iterdir()) == []
    assert install("--uninstall") == 1
    assert "nothing was removed" in capsys.readouterr().err


def test_the_plugin_is_the_standard_library_and_gi() -> None:
    import ast

    from reverie_gimp.installer import SOURCE

    own = {path.stem for path in SOURCE.glob("*.py")}
    for path in SOURCE.glob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        for_checkers = [
            inner
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for inner in ast.walk(node)
        ]
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names if node not in for_checkers else ():
                first = name.partition(".")[0]
                assert first in sys.stdlib_module_names | own | {"gi"}, f"{path.name}: {name}"


# The doctor


def faults() -> list[str]:
    host = reverie.registry().hosts()["gimp"]
    assert host.doctor is not None
    return list(host.doctor())


def change(folder: Path, **facts: str) -> None:
    path = folder / INSTALLATION
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **facts}), "utf-8")


def twin(folder: Path) -> None:
    copy = folder.parents[1] / "more" / "plug-ins" / PLUGIN
    copy.mkdir(parents=True)
    (copy / SCRIPT).write_text("", "utf-8")


def test_a_fresh_installation_has_no_fault(home: Path) -> None:
    profile(home / ".config/GIMP/3.0")
    assert faults() == []
    install()
    assert faults() == []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / SCRIPT).unlink(), "is missing"),
        (lambda folder: (folder / SCRIPT).chmod(0o644), "may not be run"),
        (lambda folder: (folder / SCRIPT).write_text("import gi"), "does not begin with"),
        (lambda folder: (folder / INSTALLATION).write_text("{"), "missing or damaged"),
        (lambda folder: change(folder, python="/nowhere/python"), "is gone"),
        (lambda folder: change(folder, reverie="0.0.1"), "of reverie 0.0.1"),
        (lambda folder: (folder.parents[1] / "pluginrc").write_text(""), "start GIMP anew"),
        (twin, "takes only one"),
    ],
)
def test_the_doctor_names_a_fault_and_its_remedy(home: Path, damage: object, words: str) -> None:
    folder = profile(home / ".config/GIMP/3.0") / "plug-ins" / PLUGIN
    install()
    assert callable(damage)
    damage(folder)
    found = " ".join(faults())
    assert words in found
    assert ";" in found, "a remedy follows"


def test_a_python_without_reverie_is_found(home: Path) -> None:
    folder = profile(home / ".config/GIMP/3.0") / "plug-ins" / PLUGIN
    install()
    other = home / "python"
    other.write_text("#!/bin/sh\necho 'ModuleNotFoundError: torch' >&2; exit 1\n", "utf-8")
    other.chmod(0o755)
    change(folder, python=str(other))
    (fault,) = faults()
    assert "cannot load reverie (ModuleNotFoundError: torch)" in fault


def test_a_marker_is_in_every_copy(home: Path) -> None:
    profile(home / ".config/GIMP/3.0")
    install()
    assert all((folder / MARKER).exists() for folder in installed())
