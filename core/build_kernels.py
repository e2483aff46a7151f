"""Compiles the kernels when reverie is installed, where there is a C compiler.

Without one, or when it fails, the installation is the same but slower, and says nothing;
`python -m reverie.engine.kernels.build` tells why, and builds them later.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

if TYPE_CHECKING:
    from types import ModuleType

_KERNELS = "reverie/engine/kernels"


class KernelsBuildHook(BuildHookInterface[Any]):
    """Puts the library into wheels, or beside its source where reverie is installed editable."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files of a wheel are gathered.

        Args:
            version: "standard" or "editable".
            build_data: what hatchling makes the wheel from.
        """
        if self.target_name != "wheel" or os.environ.get("REVERIE_KERNELS") == "plain":
            return
        core = Path(self.root, "core")
        builder = _builder(core / _KERNELS / "build.py")
        self._scratch = tempfile.TemporaryDirectory(prefix="reverie-wheel-")
        folder = core / _KERNELS if version == "editable" else Path(self._scratch.name)
        if (folder / builder.library_name()).is_file():
            return
        try:
            library = builder.build(folder)
        except builder.BuildError as reason:
            self.app.display_debug(f"kernels: {reason}")
            return
        if version != "editable":
            build_data["force_include"][str(library)] = f"{_KERNELS}/{library.name}"
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{_platform()}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Forget the library once it is in the wheel."""
        del version, build_data, artifact_path
        if hasattr(self, "_scratch"):
            self._scratch.cleanup()


def _builder(path: Path) -> ModuleType:
    """Load the builder by itself: the package around it needs more than an installation has."""
    spec = util.spec_from_file_location("reverie_kernels_build", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded; the source is incomplete.")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _platform() -> str:
    if sys.platform == "linux":  # built for this system, not for every one that a tag promises
        return sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return next(iter(platform_tags()))
