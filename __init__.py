"""The door of the ComfyUI node pack; ComfyUI imports it when this folder is in custom_nodes.

Everywhere else it does nothing. It makes the packages beside it importable under their own names,
without a change of sys.path, so that no other pack can be shadowed by them.
"""

import importlib.util
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

_HERE = Path(__file__).resolve().parent
_log = logging.getLogger("reverie")


def _adopt(name: str, folder: Path) -> ModuleType:
    """Import a package from a folder, unless one of this name is loaded already."""
    if loaded := sys.modules.get(name):
        elsewhere = Path(str(loaded.__file__)).resolve().parent
        if elsewhere != folder:
            _log.warning(
                "%s %s was loaded from %s; the copy in %s is not used.",
                name,
                getattr(loaded, "__version__", ""),
                elsewhere,
                folder,
            )
        return loaded
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} cannot be imported")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _names() -> dict[str, Any]:
    """Give what ComfyUI looks for in this module."""
    _adopt("reverie", _HERE / "core" / "reverie")
    pack = _adopt("reverie_comfyui", _HERE / "plugins" / "comfyui" / "reverie_comfyui")
    return {"WEB_DIRECTORY": "./plugins/comfyui/web", **pack.register()}


if "folder_paths" in sys.modules:  # inside ComfyUI
    globals().update(_names())
