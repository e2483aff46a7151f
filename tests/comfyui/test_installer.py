"""`reverie install comfyui`: a whole pack, and only where nothing of others is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import reverie
import reverie_comfyui
from reverie.errors import InstallError
from reverie.installing import MARKER
from reverie_comfyui import host, installer, places

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(tmp_path: Path) -> Path:
    folder = tmp_path / "ComfyUI"
    (folder / "custom_nodes").mkdir(parents=True)
    return folder


def install(path: Path | None) -> list[str]:
    return list(host.install(path))


def uninstall(path: Path | None) -> list[str]:
    return list(host.uninstall(path))


@pytest.mark.parametrize("place", ["", "custom_nodes", "custom_nodes/reverie"])
def test_the_server_its_nodes_folder_and_ours_all_mean_the_same(server: Path, place: str) -> None:
    done, to_do = install(server / place)
    assert done == f"Installed {server / 'custom_nodes/reverie'}"
    assert to_do.startswith("Start ComfyUI anew")


def test_the_copy_is_whole_and_has_the_layout_of_a_clone(server: Path) -> None:
    install(server)
    copy = server / "custom_nodes/reverie"
    for name in (
        "__init__.py",
        "requirements.txt",
        "LICENSE",
        "core/reverie/networks/embedded/embedded.safetensors",
        "plugins/comfyui/reverie_comfyui/nodes/dream.py",
        "plugins/comfyui/web/docs/ReverieDream.md",
        "locales/en/nodeDefs.json",
    ):
        assert (copy / name).read_bytes() == (ROOT / name).read_bytes()
    assert (copy / MARKER).is_file()
    assert not list(copy.rglob("__pycache__"))


def test_a_wheels_copy_is_that_of_a_clone(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = installer.pack()
    site = tmp_path / "site-packages/reverie_comfyui"
    for name, data in clone.items():
        inner = name.removeprefix("plugins/comfyui/")
        place = name.removeprefix("plugins/comfyui/reverie_comfyui/")
        if name == inner or inner.startswith("web/"):
            place = f"pack/{inner}"
        if not name.startswith("core/"):
            (site / place).parent.mkdir(parents=True, exist_ok=True)
            (site / place).write_bytes(data)
    monkeypatch.setattr(reverie_comfyui, "__file__", str(site / "__init__.py"))
    assert installer.pack() == clone
    (site / "pack/__init__.py").unlink()
    with pytest.raises(InstallError, match="install reverie anew"):
        install(server)


def test_installing_again_brings_the_copy_up_to_date(server: Path) -> None:
    install(server)
    old = server / "custom_nodes/reverie/core/reverie/gone.py"
    old.write_text("", "utf-8")
    assert install(server)[0].startswith("Updated ")
    assert not old.exists()


def test_the_copy_runs_in_a_python_without_reverie(server: Path) -> None:
    install(server)
    copy = server / "custom_nodes/reverie"
    script = f"""
import importlib.util, sys
from types import ModuleType
sys.path = [p for p in sys.path if not p.startswith({str(ROOT)!r}) or "site-packages" in p]
sys.meta_path = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
sys.modules["folder_paths"] = paths = ModuleType("folder_paths")
paths.models_dir = {str(server)!r}
known = paths.folder_names_and_paths = {{"reverie": ([paths.models_dir], set())}}
paths.add_model_folder_path = lambda *_: None
paths.get_folder_paths = lambda name: known[name][0]
spec = importlib.util.spec_from_file_location("pack", {str(copy / "__init__.py")!r})
pack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
print(sys.modules["reverie"].__file__, len(pack.NODE_CLASS_MAPPINGS))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout == f"{copy / 'core/reverie/__init__.py'} 8\n", done.stderr


def test_a_clone_is_not_replaced(server: Path) -> None:
    (server / "custom_nodes/reverie/.git").mkdir(parents=True)
    with pytest.raises(InstallError, match="is a git clone"):
        install(server)


def test_a_second_copy_beside_a_clone_is_refused(server: Path) -> None:
    clone = server / "custom_nodes/reverie-main"
    (clone / "plugins/comfyui/reverie_comfyui").mkdir(parents=True)
    with pytest.raises(InstallError, match="ComfyUI would load both"):
        install(server)
    assert not (server / "custom_nodes/reverie").exists()


def test_a_folder_that_is_no_comfyui_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="there is no custom_nodes in it"):
        install(tmp_path)


def test_what_was_installed_can_be_taken_away(server: Path) -> None:
    install(server)
    cache = server / "custom_nodes/reverie/core/reverie/__pycache__"
    cache.mkdir()
    (cache / "x.pyc").write_bytes(b"")
    assert uninstall(server)[0] == f"Removed {server / 'custom_nodes/reverie'}"
    assert not (server / "custom_nodes/reverie").exists()
    with pytest.raises(InstallError, match="nothing is installed"):
        uninstall(server)


def test_what_others_put_there_stays(server: Path) -> None:
    install(server)
    note = server / "custom_nodes/reverie/note.txt"
    note.write_text("mine", "utf-8")
    assert "left what is not reverie's: note.txt" in uninstall(server)[0]
    assert note.read_text("utf-8") == "mine"


def test_without_a_path_the_usual_places_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    with pytest.raises(InstallError, match=r"in no usual place; say which: .* --path DIR"):
        install(None)
    (tmp_path / "Documents/ComfyUI/custom_nodes").mkdir(parents=True)
    install(None)
    assert (tmp_path / "Documents/ComfyUI/custom_nodes/reverie" / MARKER).is_file()
    (tmp_path / "ComfyUI/custom_nodes").mkdir(parents=True)
    with pytest.raises(InstallError, match="say which"):
        places.pack_folder(None)


def test_the_doctor_finds_what_is_wrong_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    nodes = tmp_path / "ComfyUI/custom_nodes"
    nodes.mkdir(parents=True)
    install(None)
    assert not list(host.doctor())
    door = nodes / "reverie/__init__.py"
    door.unlink()
    (nodes / "other/plugins/comfyui/reverie_comfyui").mkdir(parents=True)
    marker = nodes / "reverie" / MARKER
    marker.write_text(marker.read_text("utf-8").replace(reverie.__version__, "0.0.1"), "utf-8")
    both, old, missing = host.doctor()
    assert "loads both" in both
    assert f"is of reverie 0.0.1, this is {reverie.__version__}" in old
    assert missing == f"{door} is missing; run: reverie install comfyui --path {nodes}"
