"""The registry: everybody comes through the same hooks, and a fault stays with its plug-in."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import EntryPoint
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from reverie import Host, Network, ObjectiveFactory, Parameterization, Preset, Recipe, hookimpl
from reverie.errors import PluginError, ReverieError
from reverie.hookspecs import PROJECT
from reverie.plugins import BUILT_IN, DISABLE, Registry, find

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def look(name: str) -> Preset:
    return Preset(name=name, summary="A look.", recipe=Recipe(steps=3))


def offers(*records: Any, hook: str = "reverie_presets") -> SimpleNamespace:
    """A plug-in whose hook gives these records."""
    return raises(lambda: records, hook)


def raises(function: Callable[[], Iterable[Any]], hook: str = "reverie_presets") -> SimpleNamespace:
    def implementation() -> Iterable[Any]:
        return function()

    implementation.__name__ = hook
    return SimpleNamespace(**{hook: hookimpl(implementation)})


def fault() -> Iterable[Any]:
    raise RuntimeError("the weather")


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, object], EntryPoint]:
    """Make an entry point of a plug-in, as an installed package has it."""

    def make(name: str, plugin: object) -> EntryPoint:
        module = ModuleType(f"a_stranger_{name}")
        module.__dict__.update(vars(plugin))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return EntryPoint(name, module.__name__, PROJECT)

    return make


def test_built_ins_come_through_the_hooks_that_everybody_uses() -> None:
    registry = Registry(installed=[])
    assert "embedded" in registry.networks()
    assert {"layer", "channel", "total_variation"} <= set(registry.objectives())
    assert "pixels" in registry.parameterizations()
    assert "classic" in registry.presets()
    assert "command-line" in registry.hosts()
    assert set(registry.origins.values()) == {BUILT_IN}
    kinds = {kind for kind, _ in registry.origins}
    assert kinds == {Network, ObjectiveFactory, Parameterization, Preset, Host}
    assert registry.broken == {}


def test_an_installed_plug_in_is_found_and_its_origin_is_its_entry_point(install: Any) -> None:
    registry = Registry(installed=[install("looks", offers(look("woven")))])
    assert registry.presets()["woven"].recipe.steps == 3
    assert registry.origins[Preset, "woven"] == "looks"
    assert registry.origins[Preset, "classic"] == BUILT_IN


def test_installed_packages_are_asked_by_default(
    install: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = install("looks", offers(look("woven")))
    groups: list[str] = []

    def entry_points(group: str) -> list[EntryPoint]:
        groups.append(group)
        return [point]

    monkeypatch.setattr("reverie.plugins.entry_points", entry_points)
    assert "woven" in Registry().presets()
    assert groups == ["reverie"]


def test_a_plug_in_that_cannot_be_imported_is_named_logged_and_skipped(
    install: Any, caplog: pytest.LogCaptureFixture
) -> None:
    missing = EntryPoint("ghost", "no_such_module_anywhere", PROJECT)
    with caplog.at_level(logging.WARNING, "reverie"):
        registry = Registry(installed=[missing, install("looks", offers(look("woven")))])
    assert {"classic", "woven"} <= set(registry.presets())
    assert registry.broken == {
        "ghost": "the plug-in 'ghost' cannot be loaded: ModuleNotFoundError: "
        "No module named 'no_such_module_anywhere'"
    }
    assert [record.message for record in caplog.records] == [
        f"{registry.broken['ghost']}; it is left out."
    ]


def test_a_plug_in_that_raises_in_a_hook_is_named_logged_and_skipped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    plugins = [("stormy", raises(fault)), ("looks", offers(look("woven")))]
    registry = Registry(plugins, installed=[])
    with caplog.at_level(logging.WARNING, "reverie"):
        assert {"classic", "woven"} <= set(registry.presets())
    assert registry.broken == {
        "stormy": "the plug-in 'stormy' failed in reverie_presets: RuntimeError: the weather"
    }
    assert registry.broken["stormy"] in caplog.text


def test_a_plug_in_is_named_also_if_it_raises_after_its_first_record() -> None:
    def half() -> Iterable[Any]:
        yield look("half")
        raise RuntimeError("the weather")

    registry = Registry([("stormy", raises(half))], installed=[])
    assert "half" not in registry.presets()
    assert "stormy" in registry.broken


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["classic"], "gave a str in reverie_presets, not a Preset"),
        ([Recipe()], "gave a Recipe in reverie_presets, not a Preset"),
        (None, "failed in reverie_presets: TypeError: 'NoneType' object is not iterable"),
    ],
)
def test_a_plug_in_that_gives_something_else_is_named_and_skipped(given: Any, reason: str) -> None:
    plugins = [("odd", raises(lambda: given)), ("looks", offers(look("woven")))]
    registry = Registry(plugins, installed=[])
    assert {"classic", "woven"} <= set(registry.presets())
    assert registry.broken == {"odd": f"the plug-in 'odd' {reason}"}


def test_a_hook_with_a_wrong_signature_leaves_out_all_of_its_plug_in() -> None:
    plugin = offers(look("woven"), hook="reverie_presets")

    def reverie_networks(_config: object) -> Iterable[Network]:
        return ()

    plugin.reverie_networks = hookimpl(reverie_networks)
    registry = Registry([("curious", plugin)], installed=[])
    assert "classic" in registry.presets()
    assert "woven" not in registry.presets()
    assert "_config" in registry.broken["curious"]


def test_a_name_that_is_built_in_is_refused_and_both_sides_are_named() -> None:
    registry = Registry([("looks", offers(look("classic")))], installed=[])
    with pytest.raises(PluginError) as caught:
        registry.presets()
    assert str(caught.value) == (
        "two plug-ins, 'reverie' and 'looks', both offer presets named 'classic'; "
        "uninstall one, or leave it out with REVERIE_DISABLE_PLUGINS=looks."
    )
    assert "embedded" in registry.networks(), "what does not clash still works"


def test_two_plug_ins_with_one_name_are_both_named(install: Any) -> None:
    points = [install("looks", offers(look("woven"))), install("cloth", offers(look("woven")))]
    with pytest.raises(PluginError, match=r"'looks' and 'cloth'.* named 'woven'"):
        Registry(installed=points).presets()


def test_one_name_for_records_of_two_kinds_is_no_clash() -> None:
    network = Network(name="classic", summary="A network.", load=lambda _: None)  # type: ignore[arg-type,return-value]
    registry = Registry([("nets", offers(network, hook="reverie_networks"))], installed=[])
    assert registry.networks()["classic"] is network
    assert registry.presets()["classic"].recipe == Recipe()


def test_a_misspelt_hook_is_an_error_that_names_the_plug_in_and_the_right_hook() -> None:
    with pytest.raises(PluginError) as caught:
        Registry([("looks", offers(look("woven"), hook="reverie_preset"))], installed=[])
    sentence = str(caught.value)
    nearest = (
        "the plug-in 'looks': there is no hook 'reverie_preset'; did you mean 'reverie_presets'"
    )
    assert sentence.startswith(nearest)
    assert sentence.endswith("leave it out with REVERIE_DISABLE_PLUGINS=looks.")


def test_a_plug_in_that_is_disabled_is_not_even_imported(
    install: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DISABLE, "ghost, looks")
    ghost = EntryPoint("ghost", "no_such_module_anywhere", PROJECT)
    points = [ghost, install("looks", offers(look("woven"))), install("cloth", offers(look("a")))]
    registry = Registry(installed=points)
    assert registry.broken == {}
    assert "a" in registry.presets()
    assert "woven" not in registry.presets()


@pytest.mark.parametrize("name", ["looks", BUILT_IN])
def test_a_second_plug_in_of_the_same_name_is_named_and_skipped(install: Any, name: str) -> None:
    other = EntryPoint(name, "another_package", PROJECT)
    registry = Registry(installed=[install("looks", offers(look("woven"))), other])
    assert {"classic", "woven"} <= set(registry.presets())
    assert registry.broken == {
        name: f"the plug-in {name!r} has the name of another one: another_package"
    }


def test_a_plug_in_given_by_hand_stands_for_the_installed_one_of_its_name(install: Any) -> None:
    point = install("looks", offers(look("installed")))
    registry = Registry([("looks", offers(look("by hand")))], installed=[point])
    assert "by hand" in registry.presets()
    assert "installed" not in registry.presets()
    assert registry.broken == {}


def test_plug_ins_are_asked_once() -> None:
    asked: list[int] = []

    def count() -> Iterable[Any]:
        asked.append(1)
        return [look("woven")]

    registry = Registry([("looks", raises(count))], installed=[])
    assert registry.presets() is registry.presets()
    assert asked == [1]


def test_a_wrong_name_is_answered_with_the_nearest_and_where_to_look() -> None:
    with pytest.raises(ReverieError) as caught:
        find("preset", Registry(installed=[]).presets(), "clasic")
    sentence = (
        "there is no preset 'clasic'; did you mean 'classic'? List them with: reverie presets."
    )
    assert str(caught.value) == sentence


def test_a_plug_in_that_ends_the_program_is_left_out(
    install: Callable[[str, object], EntryPoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    point = install("quitter", SimpleNamespace())

    def load(_self: EntryPoint) -> object:
        raise SystemExit("no licence")

    monkeypatch.setattr(EntryPoint, "load", load)
    assert "no licence" in Registry(installed=[point]).broken["quitter"]


@pytest.mark.parametrize("name", [["a", "list"], 7])
def test_a_record_whose_name_is_no_text_is_left_out(name: Any) -> None:
    found = Registry([("odd", offers(look(name), look("good")))], installed=())
    assert "good" in found.presets()
    assert "is unfit" in found.broken["odd"]
