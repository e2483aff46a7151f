"""Runs inside GIMP, by its Python-Fu: executes the files 1.py, 2.py, ... that appear in a folder.

What they give to `answer(...)` is written into 1.json, 2.json, ...
"""

from __future__ import annotations

import json
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from gi.repository import Gegl, Gimp, Gio

FOLDER = Path(globals()["folder"])
"""Set by who executes this file, see real_gimp.py."""


def load(path: str) -> Gimp.Image:
    Gimp.context_set_feather(False)  # GIMP remembers what the test before has set
    return Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(path))


def top(image: Gimp.Image) -> Gimp.Layer:
    return image.get_layers()[0]


def dream(image: Gimp.Image, drawables: list[Gimp.Drawable], **settings: Any) -> dict[str, str]:
    """Call the filter as a script does; give its status and sentence.

    A guide is given by its path or URI.
    """
    procedure = Gimp.get_pdb().lookup_procedure("plug-in-reverie-dream")
    config = procedure.create_config()
    config.set_property("run-mode", settings.pop("mode", Gimp.RunMode.NONINTERACTIVE))
    config.set_property("image", image)
    config.set_core_object_array("drawables", drawables)
    if guide := settings.pop("guide", ""):
        config.set_property("guide", Gio.File.new_for_commandline_arg(guide))
    for name, value in settings.items():
        config.set_property(name.replace("_", "-"), value)
    status = procedure.run(config).index(0).value_nick
    return {"status": status, "sentence": Gimp.get_pdb().get_last_error()}


def save(drawable: Gimp.Drawable, name: str) -> dict[str, Any]:
    """Write a drawable's pixels as float32 R'G'B'A; give the file and its shape."""
    width, height = drawable.get_width(), drawable.get_height()
    area = Gegl.Rectangle.new(0, 0, width, height)
    path = FOLDER / name
    path.write_bytes(drawable.get_buffer().get(area, 1.0, "R'G'B'A float", Gegl.AbyssPolicy.NONE))
    return {"file": str(path), "shape": [height, width, 4]}


def execute(job: Path) -> dict[str, Any]:
    given: dict[str, Any] = {"answer": None}
    space = {**globals(), "answer": lambda value: given.update(answer=value)}
    try:
        exec(compile(job.read_text("utf-8"), str(job), "exec"), space)  # noqa: S102 - a test's own
    except Exception:  # noqa: BLE001 - the test shows it
        return {"failed": traceback.format_exc()}
    return given


def main() -> None:
    number = 1
    while True:
        job = FOLDER / f"{number}.py"
        if not job.exists():
            time.sleep(0.02)
            continue
        answer = json.dumps(execute(job))
        job.with_suffix(".part").write_text(answer, "utf-8")
        job.with_suffix(".part").rename(job.with_suffix(".json"))
        number += 1


Gegl.init(None)
with suppress(SystemExit):
    main()
