"""The registry: finds plug-ins, asks them through the hooks, and keeps faults from spreading.

A plug-in that cannot be loaded or asked is named, logged and skipped; two records with one name are
an error that names both sides; a function marked as a hook that does not exist is an error as well.
Built-ins come through the same hooks as everybody else's (see builtins.py).
"""

from __future__ import annotations

import logging
import os
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

from reverie import builtins, hookspecs, types
from reverie.errors import PluginError, ReverieError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from importlib.metadata import EntryPoint

_log = logging.getLogger(__name__)

BUILT_IN = "reverie"
"""The origin of what the library itself brings."""
DISABLE = "REVERIE_DISABLE_PLUGINS"
"""Environment variable: names of plug-ins to leave out, separated by commas."""

Record = TypeVar("Record")


class Registry:
    """What all plug-ins offer together.

    Args:
        plugins: (name, module or object with hook implementations) pairs to add; an installed
            plug-in of the same name gives way.
        installed: entry points to load; by default those of all installed packages.
    Raises:
        PluginError: a plug-in marks a function as a hook that does not exist.
    """

    def __init__(
        self,
        plugins: Sequence[tuple[str, object]] = (),
        installed: Iterable[EntryPoint] | None = None,
    ) -> None:
        self.broken: dict[str, str] = {}
        """Plug-ins that were left out, and why, in one sentence each."""
        self.origins: dict[tuple[type, str], str] = {}
        """Which plug-in brought a record, by the record's type and name."""
        self._collected: dict[str, Any] = {}
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._manager.register(builtins, BUILT_IN)
        for name, plugin in plugins:
            self._register(name, plugin)
        given = {name for name, _ in plugins}
        for point in entry_points(group=hookspecs.PROJECT) if installed is None else installed:
            if point.name not in given:
                self._load(point)
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            name = self._manager.get_name(error.plugin) or ""
            raise PluginError(_misspelt(error, name)) from None

    def _load(self, point: EntryPoint) -> None:
        disabled = {name.strip() for name in os.environ.get(DISABLE, "").split(",")}
        if point.name in disabled:
            return
        if self._manager.has_plugin(point.name):
            self._leave_out(point.name, f"has the name of another one: {point.value}")
            return
        try:
            plugin = point.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody else's code: name it and go on
            self._leave_out(point.name, f"cannot be loaded: {type(error).__name__}: {error}")
        else:
            self._register(point.name, plugin)

    def _register(self, name: str, plugin: object) -> None:
        try:
            self._manager.register(plugin, name)
        except (ValueError, pluggy.PluginValidationError) as error:
            self._leave_out(name, f"cannot be registered: {error}")
            if self._manager.get_plugin(name) is plugin:  # some of its hooks may have come in
                self._manager.unregister(plugin)

    def _leave_out(self, plugin: str, reason: str) -> None:
        self.broken[plugin] = f"the plug-in {plugin!r} {reason}"
        _log.warning("%s; it is left out.", self.broken[plugin])

    def networks(self) -> Mapping[str, types.Network]:
        """All networks by name."""
        return self._records("reverie_networks", types.Network)

    def objectives(self) -> Mapping[str, types.ObjectiveFactory[Any]]:
        """All objective factories by name."""
        return self._records("reverie_objectives", types.ObjectiveFactory)

    def parameterizations(self) -> Mapping[str, types.Parameterization]:
        """All parameterizations by name."""
        return self._records("reverie_parameterizations", types.Parameterization)

    def presets(self) -> Mapping[str, types.Preset]:
        """All presets by name."""
        return self._records("reverie_presets", types.Preset)

    def hosts(self) -> Mapping[str, types.Host]:
        """All hosts by name."""
        return self._records("reverie_hosts", types.Host)

    def _records(self, hook: str, record_type: type[Record]) -> Mapping[str, Record]:
        if hook not in self._collected:
            self._collected[hook] = self._collect(hook, record_type)
        return self._collected[hook]  # type: ignore[no-any-return]

    def _collect(self, hook: str, record_type: type[Record]) -> dict[str, Record]:
        records: dict[str, Record] = {}
        owners: dict[str, str] = {}
        # Asked one by one rather than by one pluggy call, so that a fault names its plug-in; what
        # is built in comes first, so that a clash with it is the other's to solve.
        asked = getattr(self._manager.hook, hook).get_hookimpls()
        for implementation in sorted(asked, key=lambda one: one.plugin_name != BUILT_IN):
            plugin = implementation.plugin_name
            try:
                offered = list(implementation.function())
            except Exception as error:  # noqa: BLE001 - somebody else's code: name it and go on
                self._leave_out(plugin, f"failed in {hook}: {type(error).__name__}: {error}")
                continue
            for record in offered:
                if not isinstance(record, record_type):
                    kind = type(record).__name__
                    self._leave_out(
                        plugin, f"gave a {kind} in {hook}, not a {record_type.__name__}"
                    )
                    continue
                name: Any = record.name  # type: ignore[attr-defined]
                if not isinstance(name, str) or owners.get(name) == plugin:
                    self._leave_out(
                        plugin, f"gave the name {name!r} in {hook}, which is unfit or twice"
                    )
                    continue
                if name in records:
                    raise PluginError(
                        f"two plug-ins, {owners[name]!r} and {plugin!r}, both offer "
                        f"{hook.removeprefix('reverie_')} named {name!r}; uninstall one, "
                        f"or leave it out with {DISABLE}={plugin}."
                    )
                records[name] = record
                owners[name] = self.origins[record_type, name] = plugin
        return records


@cache
def registry() -> Registry:
    """The registry of this process, made on first use."""
    return Registry()


def find(kind: str, records: Mapping[str, Record], name: str) -> Record:
    """Look a record up; a wrong name is answered with the nearest right ones.

    Raises:
        ReverieError: there is no such name.
    """
    if name in records:
        return records[name]
    raise ReverieError(unknown_name(kind, name, records, f"List them with: reverie {kind}s."))


def _misspelt(error: pluggy.PluginValidationError, plugin: str) -> str:
    """Find the function that pluggy complains of, and the hook it probably meant."""
    known = [name for name in vars(hookspecs) if name.startswith("reverie_")]
    word = str(error).split("'")[1] if "'" in str(error) else str(error)
    remedy = f"Upgrade it, or leave it out with {DISABLE}={plugin}."
    return f"the plug-in {plugin!r}: {unknown_name('hook', word, known, remedy)}"
