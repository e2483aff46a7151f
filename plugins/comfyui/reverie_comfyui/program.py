"""The modules of the running ComfyUI, asked for when they are needed.

They exist only inside it, and in tests as small fakes.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def folder_paths() -> Any:
    """Where ComfyUI keeps models, inputs and outputs."""
    return import_module("folder_paths")


def model_management() -> Any:
    """Devices, memory, and whether the user has pressed Interrupt."""
    return import_module("comfy.model_management")


def progress_bar() -> Any:
    """Make a progress bar of the node that runs."""
    return import_module("comfy.utils").ProgressBar(1)


def wants_metadata() -> bool:
    """Whether saved files may tell how they were made."""
    return not import_module("comfy.cli_args").args.disable_metadata


def model_patcher() -> Any:
    """The module of `ModelPatcher`, which ComfyUI's memory management deals with."""
    return import_module("comfy.model_patcher")


def callbacks() -> Any:
    """The names of what a `ModelPatcher` can call back for."""
    return import_module("comfy.patcher_extension").CallbacksMP


def latest_api() -> Any:
    """ComfyUI's node API, newest form.

    Raises:
        ImportError: this ComfyUI is older than that.
    """
    return import_module("comfy_api.latest")
