"""reverie: DeepDream where people make pictures.

    import reverie
    picture = reverie.dream(picture, reverie.Recipe(octaves=5))

Names are imported on first use, so that `import reverie` takes no time and loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reverie.engine.dream import Step, dream
    from reverie.errors import (
        Cancelled,
        ImageError,
        InstallError,
        NetworkError,
        ObjectiveError,
        PluginError,
        RecipeError,
        ReverieError,
        WeightsError,
        WorkerError,
    )
    from reverie.hookspecs import hookimpl
    from reverie.networks.loading import release
    from reverie.objectives import Objective, objective
    from reverie.plugins import registry
    from reverie.recipe import Recipe, settings
    from reverie.setting import Setting
    from reverie.types import Host, Network, ObjectiveFactory, Parameterization, Preset

__version__ = "0.1.0"

_HOMES = {
    "engine.dream": ("Step", "dream"),
    "errors": (
        "Cancelled",
        "ImageError",
        "InstallError",
        "NetworkError",
        "ObjectiveError",
        "PluginError",
        "RecipeError",
        "ReverieError",
        "WeightsError",
        "WorkerError",
    ),
    "hookspecs": ("hookimpl",),
    "networks.loading": ("release",),
    "objectives": ("Objective", "objective"),
    "plugins": ("registry",),
    "recipe": ("Recipe", "settings"),
    "setting": ("Setting",),
    "types": ("Host", "Network", "ObjectiveFactory", "Parameterization", "Preset"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Cancelled",
    "Host",
    "ImageError",
    "InstallError",
    "Network",
    "NetworkError",
    "Objective",
    "ObjectiveError",
    "ObjectiveFactory",
    "Parameterization",
    "PluginError",
    "Preset",
    "Recipe",
    "RecipeError",
    "ReverieError",
    "Setting",
    "Step",
    "WeightsError",
    "WorkerError",
    "dream",
    "hookimpl",
    "objective",
    "registry",
    "release",
    "settings",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
