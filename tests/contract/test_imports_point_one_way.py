"""The layers: imports point one way, and the core knows no host."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import reverie

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(reverie.__file__).parent
LIGHT = (
    *("errors", "setting", "recipe", "types", "hookspecs"),
    *("objectives", "grammar", "presets", "plugins", "builtins"),
)


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {dotted(path): ast.parse(path.read_text("utf-8")) for path in ROOT.rglob("*.py")}


def names(node: ast.AST) -> Iterator[str]:
    """What one statement imports; from a package, its modules."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        assert not node.level, "ruff bans relative imports: this test does not follow them"
        inside = {f"{node.module}.{alias.name}" for alias in node.names}
        yield from (inside & MODULES.keys()) or {node.module or ""}


def at_import(node: ast.AST) -> Iterator[str]:
    """What importing a module imports: not what stands in functions or is for type checkers."""
    for child in ast.iter_child_nodes(node):
        is_lazy = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or (
            isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        )
        if not is_lazy:
            yield from names(child)
            yield from at_import(child)


GRAPH = {module: set(at_import(tree)) for module, tree in MODULES.items()}


def test_no_module_imports_itself_by_a_detour() -> None:
    assert list(TopologicalSorter(GRAPH).static_order())


def test_the_core_imports_no_host() -> None:
    hosts = ("gimp", "comfy", "gi.")
    for module, tree in MODULES.items():
        imported = {name for node in ast.walk(tree) for name in names(node)}
        assert not [name for name in imported if f"{name}.".startswith(hosts)], module


def test_only_the_command_line_imports_the_command_line() -> None:
    users = {
        m for m, imported in GRAPH.items() if any(n.startswith("reverie.cli") for n in imported)
    }
    assert {user for user in users if not user.startswith("reverie.cli")} == {"reverie.__main__"}


@pytest.mark.parametrize("name", LIGHT)
def test_a_light_module_imports_nothing_heavy_by_any_detour(name: str) -> None:
    reached, waiting = set(), {f"reverie.{name}"}
    assert waiting <= GRAPH.keys()
    while waiting:
        module = waiting.pop()
        reached.add(module)
        waiting |= GRAPH.get(module, set()) - reached
    assert not {module.partition(".")[0] for module in reached} & {"torch", "torchvision", "numpy"}
