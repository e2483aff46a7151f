"""Reverie Save Image: PNG files that carry the recipe, and the workflow as ComfyUI's own do."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from reverie_comfyui import program
from reverie_comfyui.description import RECIPE, Input, Node, Result

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from reverie.record import Record

COMPRESSION = 4
"""zlib's level, as ComfyUI's own Save Image has it."""


def _inputs() -> tuple[Input, ...]:
    return (
        Input(name="image", type="IMAGE", label="Image", help="The pictures to save."),
        Input(
            name="recipe",
            type=RECIPE,
            label="Recipe",
            help="The recipe that they were dreamed with; it goes into the files.",
        ),
        Input(
            name="filename_prefix",
            type="STRING",
            label="Filename prefix",
            help="How the files' names begin; a number follows, so that nothing is overwritten. "
            "It may name a folder inside the output folder, and use %width%, %height%, %year%, "
            "%month% and %day%.",
            default="reverie/dream",
        ),
    )


def _run(
    image: Tensor,
    recipe: Record,
    filename_prefix: str = "reverie/dream",
    metadata: dict[str, Any] | None = None,
) -> Result:
    from reverie_comfyui import images
    from reverie_comfyui.saving import save_new

    images.check(image)
    texts = _texts(recipe, metadata or {}) if program.wants_metadata() else {}
    height, width = image.shape[1:3]
    saved = []
    for one in image:
        data = png(one, texts)
        saved.append(save_new(filename_prefix, ".png", _writer(data), (width, height)))
    return Result(shown={"images": saved})


def _writer(data: bytes) -> Any:
    from reverie.picture.files import save_whole

    def write(path: Path) -> None:
        save_whole(data, path, overwrite=False)

    return write


def _texts(recipe: Record, metadata: dict[str, Any]) -> dict[str, str]:
    """Give what goes into the file: the record of the dream, and ComfyUI's prompt and workflow."""
    from reverie.networks.loading import load_network
    from reverie.record import write_record

    device = str(program.model_management().get_torch_device())
    record = write_record(
        recipe.recipe,
        digest=recipe.digest or load_network(recipe.recipe.network).digest,
        device=device,
        is_masked=recipe.is_masked,
        is_guided=recipe.is_guided,
        regions=recipe.regions,
    )
    graph = {key: json.dumps(value) for key, value in metadata.items() if value is not None}
    return {"reverie": record, **graph}


def png(image: Tensor, texts: dict[str, str]) -> bytes:
    """Encode (H, W, C) in 0..1 with 8 bits, rounded to the nearest as reverie's own files are."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    levels = (image.float().clamp(0, 1) * 255).round().byte().cpu().numpy()
    info = PngInfo()
    for key, text in texts.items():
        info.add_itxt(key, text) if key == "reverie" else info.add_text(key, text)
    file = io.BytesIO()
    picture = Image.fromarray(levels.squeeze(2) if levels.shape[2] == 1 else levels)
    picture.save(file, "PNG", pnginfo=info, compress_level=COMPRESSION)
    return file.getvalue()


SAVE_IMAGE = Node(
    id="ReverieSave",
    title="Reverie Save Image",
    help="Saves pictures as PNG in ComfyUI's output folder, with the recipe in them, so that any "
    "host of reverie can dream it again, and with the workflow, as Save Image does.",
    inputs=_inputs,
    run=_run,
    writes_files=True,
    aliases=("save dream", "save with recipe"),
)
