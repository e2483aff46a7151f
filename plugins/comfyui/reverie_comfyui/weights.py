"""Weights in ComfyUI's models folder: models/reverie, and what extra_model_paths.yaml adds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from reverie_comfyui import program

FOLDER = "reverie"
ENDINGS = frozenset({".safetensors", ".pth", ".pt"})
NO_FILE = "none"
"""The choice of a file that stands for the network's own weights."""
VARIABLE = "REVERIE_WEIGHTS"
"""Environment variable: folders in which reverie looks for weights; the first takes downloads."""


def register_folder() -> None:
    """Make models/reverie a folder of models, and the place for what reverie downloads."""
    paths = program.folder_paths()
    own = str(Path(paths.models_dir, FOLDER))
    paths.add_model_folder_path(FOLDER, own)
    paths.folder_names_and_paths[FOLDER][1].update(ENDINGS)
    folders = [*os.environ.get(VARIABLE, "").split(os.pathsep), *paths.get_folder_paths(FOLDER)]
    known = dict.fromkeys(folder for folder in folders if folder.strip())
    os.environ[VARIABLE] = os.pathsep.join(known)


def files() -> tuple[str, ...]:
    """List the files in these folders, by their names relative to them; none outside ComfyUI."""
    if "folder_paths" not in sys.modules:
        return ()
    return tuple(program.folder_paths().get_filename_list(FOLDER))


def path_of(name: str) -> Path:
    """Find a file that `files` lists.

    Raises:
        WeightsError: it is there no more.
    """
    found = program.folder_paths().get_full_path(FOLDER, name)
    if found is None:
        from reverie.errors import WeightsError

        raise WeightsError(
            f"weights_file: {name!r} is not in {Path(program.folder_paths().models_dir, FOLDER)}; "
            "put it there, or choose another."
        )
    return Path(found)
