"""Every hook's docstring is a plug-in that works, and every example in the library runs."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

import reverie
from reverie import hookspecs
from reverie.plugins import Registry

HOOKS = [name for name in vars(hookspecs) if name.startswith("reverie_")]
PACKAGE = Path(reverie.__file__).parent
EXAMPLES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text("utf-8")
]


@pytest.mark.parametrize("hook", HOOKS)
def test_the_docstring_of_a_hook_is_a_whole_plug_in(hook: str) -> None:
    (example,) = doctest.DocTestFinder(recurse=False).find(getattr(hookspecs, hook), hook, globs={})
    assert doctest.DocTestRunner().run(example, clear_globs=False).failed == 0
    plugin = SimpleNamespace(**example.globs)
    registry = Registry([("docstring", plugin)], installed=[])
    records = getattr(registry, hook.removeprefix("reverie_"))()
    origins = {name for (_, name), plugin in registry.origins.items() if plugin == "docstring"}
    assert registry.broken == {}
    assert len(origins) == 1
    assert origins <= set(records)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_explained_to_contributors(hook: str) -> None:
    assert hook in (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text("utf-8")


@pytest.mark.parametrize("module", EXAMPLES)
def test_the_examples_of_a_module_run(module: str) -> None:
    result = doctest.testmod(import_module(module))
    assert result.attempted
    assert not result.failed
