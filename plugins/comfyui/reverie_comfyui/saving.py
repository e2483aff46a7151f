"""New files in ComfyUI's output folder: numbered as ComfyUI does, never over another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie_comfyui import program

if TYPE_CHECKING:
    from collections.abc import Callable


def save_new(
    prefix: str, ending: str, write: Callable[[Path], None], size: tuple[int, int] = (0, 0)
) -> dict[str, Any]:
    """Save a file under the next free number.

    Args:
        prefix: what the user set; may name a folder inside the output folder.
        ending: with its dot.
        write: writes the file, and raises ImageError if the name was taken meanwhile.
        size: width and height in px, for %width% and %height% in the prefix.
    Returns:
        Where it is, as ComfyUI's page wants to know it.
    Raises:
        ImageError: the folder or the disk refuses.
    """
    from reverie.errors import ImageError

    paths = program.folder_paths()
    output = paths.get_output_directory()
    folder, name, number, subfolder, _ = paths.get_save_image_path(prefix, output, *size)
    while True:
        path = Path(folder, f"{name}_{number:05}_{ending}")
        if not path.exists():
            try:
                write(path)
            except ImageError:
                if not path.exists():
                    raise
            else:
                return {"filename": path.name, "subfolder": subfolder, "type": "output"}
        number += 1
