"""What reverie needs of pluggy, for a ComfyUI that has none.

A pack that was cloned into custom_nodes has nothing installed for it, and ComfyUI does not bring
pluggy. Only reverie's own two modules see the stand-in; other packs, and other threads, find pluggy
missing as before.
"""

from __future__ import annotations

import builtins
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec, module_from_spec
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Marked = TypeVar("Marked", bound="Callable[..., Any]")


def for_pluggy() -> None:
    """Let reverie import without pluggy where it is not installed."""
    if "pluggy" in sys.modules or find_spec("pluggy") is not None:
        return
    module = as_module()
    for name in ("reverie.hookspecs", "reverie.plugins"):
        if name not in sys.modules:
            _import(name, module)


def _import(name: str, pluggy: ModuleType) -> None:
    """Import a module for which `import pluggy` means something else."""

    def find(name: str, *how: Any, **more: Any) -> Any:
        return pluggy if name == "pluggy" else builtins.__import__(name, *how, **more)

    spec = find_spec(name)
    if spec is None or spec.loader is None:
        raise ImportError(f"{name} cannot be imported")
    module = module_from_spec(spec)
    vars(module)["__builtins__"] = {**vars(builtins), "__import__": find}
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    parent, _, own = name.rpartition(".")
    setattr(sys.modules[parent], own, module)


def as_module() -> ModuleType:
    """Give the stand-in under pluggy's names."""
    module = ModuleType("pluggy", __doc__)
    vars(module).update(
        HookspecMarker=Marker,
        HookimplMarker=Marker,
        PluginManager=PluginManager,
        PluginValidationError=PluginValidationError,
    )
    return module


class PluginValidationError(Exception):
    """A plug-in marks a function as a hook that does not exist."""

    def __init__(self, plugin: object, message: str) -> None:
        super().__init__(message)
        self.plugin = plugin


@dataclass(frozen=True)
class Marker:
    """Marks functions of a project as hooks or as their implementations."""

    project: str

    def __call__(self, function: Marked) -> Marked:
        """Mark a function and give it back."""
        setattr(function, f"{self.project}_impl", {})
        return function


@dataclass(frozen=True)
class Implementation:
    """One plug-in's function for one hook."""

    plugin_name: str
    plugin: object
    function: Callable[[], Any]


@dataclass
class Hook:
    """All plug-ins' functions for one hook."""

    implementations: list[Implementation] = field(default_factory=list)

    def get_hookimpls(self) -> list[Implementation]:
        """List them in the order in which they came."""
        return list(self.implementations)


class PluginManager:
    """Knows the plug-ins, and who implements which hook."""

    def __init__(self, project: str) -> None:
        self._project = project
        self._plugins: dict[str, object] = {}
        self.hook = SimpleNamespace()

    def add_hookspecs(self, module: object) -> None:
        """Learn the hooks of a module, which are the marked functions in it."""
        for name in self._marked(module):
            setattr(self.hook, name, Hook())

    def register(self, plugin: object, name: str) -> str:
        """Take a plug-in in; ValueError if it is here, or one of its name."""
        if name in self._plugins or plugin in self._plugins.values():
            raise ValueError(f"the plug-in {name!r} is registered already")
        self._plugins[name] = plugin
        for hook in self._marked(plugin):
            if hasattr(self.hook, hook):
                found = Implementation(name, plugin, getattr(plugin, hook))
                getattr(self.hook, hook).implementations.append(found)
        return name

    def unregister(self, plugin: object) -> None:
        """Let a plug-in go."""
        self._plugins = {key: one for key, one in self._plugins.items() if one is not plugin}
        for hook in vars(self.hook).values():
            hook.implementations[:] = [i for i in hook.implementations if i.plugin is not plugin]

    def has_plugin(self, name: str) -> bool:
        """Whether there is a plug-in of this name."""
        return name in self._plugins

    def get_plugin(self, name: str) -> object | None:
        """Give the plug-in of this name."""
        return self._plugins.get(name)

    def get_name(self, plugin: object) -> str | None:
        """Give the name of a plug-in."""
        return next((key for key, one in self._plugins.items() if one is plugin), None)

    def check_pending(self) -> None:
        """Raise PluginValidationError for a marked function that no hook has the name of."""
        for name, plugin in self._plugins.items():
            for hook in self._marked(plugin):
                if not hasattr(self.hook, hook):
                    raise PluginValidationError(plugin, f"unknown hook {hook!r} in plugin {name!r}")

    def _marked(self, plugin: object) -> list[str]:
        mark = f"{self._project}_impl"
        return [name for name in dir(plugin) if hasattr(getattr(plugin, name, None), mark)]
