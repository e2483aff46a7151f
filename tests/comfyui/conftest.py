"""A ComfyUI of a few lines: what of it the nodes touch, and what it saw them do."""

from __future__ import annotations

import inspect
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

import reverie
from reverie_comfyui import memory, weights

if TYPE_CHECKING:
    from collections.abc import Iterator


class InterruptProcessingException(Exception):  # noqa: N818 - ComfyUI's own name
    pass


@dataclass
class Comfy:
    """What happened, and what shall."""

    base: Path
    progress: list[tuple[int, int]] = field(default_factory=list)
    previews: list[Any] = field(default_factory=list)
    interrupt_at: int = -1
    """After so many reports of progress the user presses Interrupt."""
    loaded: list[Any] = field(default_factory=list)
    emptied: int = 0
    asked: list[int] = field(default_factory=list)
    """Bytes that nodes wanted to have room for."""
    args: Any = field(default_factory=lambda: SimpleNamespace(disable_metadata=False))

    def report(self, value: int, total: int, preview: Any) -> None:
        self.check_interrupt()
        self.progress.append((value, total))
        if preview is not None:
            self.previews.append(preview)

    def check_interrupt(self) -> None:
        if len(self.progress) == self.interrupt_at:
            raise InterruptProcessingException

    def unload_all_models(self) -> None:
        """What `/free` does."""
        while self.loaded:
            patcher = self.loaded.pop()
            for callback in patcher.callbacks:
                callback(patcher, True)

    def empty(self) -> None:
        self.emptied += 1


class ModelPatcher:
    def __init__(self, model: Any, load_device: Any, offload_device: Any, size: int) -> None:
        self.model, self.size = model, size
        self.load_device, self.offload_device = load_device, offload_device
        self.callbacks: list[Any] = []

    def add_callback(self, kind: str, callback: Any) -> None:
        assert kind == "on_detach"
        self.callbacks.append(callback)


def module(name: str, monkeypatch: pytest.MonkeyPatch, **content: Any) -> None:
    made = ModuleType(name)
    vars(made).update(content)
    monkeypatch.setitem(sys.modules, name, made)


@pytest.fixture
def comfy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Comfy]:
    made = Comfy(tmp_path)
    for name in ("input", "output", "models/reverie"):
        (tmp_path / name).mkdir(parents=True)

    class ProgressBar:
        def __init__(self, total: int) -> None:
            self.total = total

        def update_absolute(self, value: int, total: int, preview: Any = None) -> None:
            made.report(value, total, preview)

    def load_models_gpu(models: list[Any], memory_required: int = 0) -> None:
        made.asked.append(memory_required)
        made.loaded = [*(one for one in made.loaded if one not in models), *models]

    module("comfy", monkeypatch)
    module("comfy.utils", monkeypatch, ProgressBar=ProgressBar)
    module(
        "comfy.model_management",
        monkeypatch,
        get_torch_device=lambda: torch.device("cpu"),
        intermediate_device=lambda: torch.device("cpu"),
        throw_exception_if_processing_interrupted=made.check_interrupt,
        soft_empty_cache=made.empty,
        free_memory=lambda _bytes, _device: made.unload_all_models(),
        load_models_gpu=load_models_gpu,
    )
    module("comfy.model_patcher", monkeypatch, ModelPatcher=ModelPatcher)
    callbacks = SimpleNamespace(ON_DETACH="on_detach")
    module("comfy.patcher_extension", monkeypatch, CallbacksMP=callbacks)
    module("comfy.cli_args", monkeypatch, args=made.args)
    module("folder_paths", monkeypatch, **folder_paths(tmp_path))
    monkeypatch.setenv(weights.VARIABLE, "")
    weights.register_folder()
    yield made
    reverie.release()
    memory._tenant.cache_clear()


def folder_paths(base: Path) -> dict[str, Any]:
    known: dict[str, tuple[list[str], set[str]]] = {}

    def add_model_folder_path(name: str, folder: str) -> None:
        known.setdefault(name, ([folder], set()))

    def get_filename_list(name: str) -> list[str]:
        folders, endings = known[name]
        files = [file for folder in folders for file in Path(folder).iterdir()]
        return sorted(file.name for file in files if file.suffix in endings)

    def get_full_path(name: str, file: str) -> str | None:
        found = (Path(folder, file) for folder in known[name][0])
        return next((str(path) for path in found if path.is_file()), None)

    def get_save_image_path(
        prefix: str, output: str, width: int, height: int
    ) -> tuple[str, str, int, str, str]:
        assert width >= 0
        assert height >= 0
        subfolder, name = os.path.split(prefix)
        folder = Path(output, subfolder)
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder), name, 1, subfolder, prefix

    return {
        "models_dir": str(base / "models"),
        "folder_names_and_paths": known,
        "add_model_folder_path": add_model_folder_path,
        "get_folder_paths": lambda name: known[name][0][:],
        "get_filename_list": get_filename_list,
        "get_full_path": get_full_path,
        "get_input_directory": lambda: str(base / "input"),
        "get_output_directory": lambda: str(base / "output"),
        "get_save_image_path": get_save_image_path,
    }


def widget(io_type: str) -> Any:
    """A type of V3's `io`, whose inputs and outputs keep what they were given."""

    class Put:
        def __init__(self, name: str = "", **given: Any) -> None:
            self.id, self.given, self.io_type = name, given, io_type
            self.extra_dict: dict[str, Any] = {}

    return SimpleNamespace(Input=Put, Output=Put, io_type=io_type)


@pytest.fixture
def v3(comfy: Comfy, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The newest node API, where ComfyUI has it."""

    class Schema:
        def __init__(
            self,
            node_id: str,
            display_name: str,
            category: str,
            description: str,
            inputs: list[Any],
            outputs: list[Any],
            is_output_node: bool,
        ) -> None:
            self.node_id, self.display_name, self.category = node_id, display_name, category
            self.description, self.inputs, self.outputs = description, inputs, outputs
            self.is_output_node = is_output_node

    class NodeOutput:
        def __init__(self, *args: Any, ui: Any = None) -> None:
            self.args, self.ui = args, ui

    io = SimpleNamespace(
        ComfyNode=type("ComfyNode", (), {}),
        Custom=widget,
        NodeOutput=NodeOutput,
        Schema=Schema,
        Image=widget("IMAGE"),
        Mask=widget("MASK"),
        **{name: widget(name.upper()) for name in ("Int", "Float", "Boolean", "Combo", "String")},
    )
    assert "search_aliases" not in inspect.signature(Schema).parameters
    module("comfy_api", monkeypatch)
    module("comfy_api.latest", monkeypatch, io=io, ComfyExtension=type("Extension", (), {}))
    assert comfy.base.is_dir()
    return io


@pytest.fixture
def image() -> torch.Tensor:
    """An IMAGE of one small picture, (1, 71, 97, 3)."""
    row = torch.linspace(0, 9, 71)[:, None, None]
    column = torch.linspace(0, 14, 97)[None, :, None]
    colour = torch.arange(3)[None, None]
    waves = torch.sin(row + colour) * torch.cos(column * (1 + colour / 5))
    return (waves * 0.4 + 0.5)[None]
