"""The progress bar and the preview inside a node, and Interrupt."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from reverie_comfyui import program

if TYPE_CHECKING:
    from torch import Tensor

    from reverie.engine.dream import Step

LONGEST = 512
"""px of a preview's longer side; the server scales and encodes on the thread that serves."""
PAUSE = 0.2
"""Seconds between two previews."""


class Progress:
    """Counts the steps of several pictures, each of as many steps.

    Every call raises ComfyUI's own exception when the user has pressed Interrupt.
    """

    def __init__(self, pictures: int) -> None:
        self._pictures = pictures
        self._index = 0
        self._steps = 0
        self._bar = program.progress_bar()
        self._shown = float("-inf")

    def on_tile(self) -> None:
        """Hear of Interrupt also within a step on a large picture."""
        program.model_management().throw_exception_if_processing_interrupted()

    def on_step(self, step: Step) -> None:
        """Report a step; that of the last one waits until the whole picture can be shown."""
        program.model_management().throw_exception_if_processing_interrupted()
        self._steps = step.octaves * step.steps
        taken = (step.octave - 1) * step.steps + step.step
        if taken == self._steps:
            return
        preview = None
        if time.monotonic() - self._shown >= PAUSE:
            preview = step.preview(LONGEST)
        self._tell(taken, preview)

    def picture_done(self, picture: Tensor) -> None:
        """Report the end of a picture, (H, W, 3 or more) in 0..1, and show it whole."""
        preview = None
        is_last = self._index + 1 == self._pictures
        if is_last or time.monotonic() - self._shown >= PAUSE:
            preview = as_bytes(picture)
        if not self._steps:  # nothing was climbed: the mask was empty
            self._steps = 1
        self._tell(self._steps, preview)
        self._index += 1

    def on_bytes(self, so_far: int, in_all: int | None) -> None:
        """Report a download."""
        program.model_management().throw_exception_if_processing_interrupted()
        self._bar.update_absolute(so_far, max(so_far, in_all or 0, 1), None)

    def _tell(self, taken: int, preview: Any) -> None:
        shown = None
        if preview is not None:
            from PIL import Image

            self._shown = time.monotonic()
            shown = ("JPEG", Image.fromarray(preview), None)
        done = self._index * self._steps + taken
        self._bar.update_absolute(done, self._pictures * self._steps, shown)


def as_bytes(picture: Tensor) -> Any:
    """Give (H, W, 3 or more) in 0..1 as (h, w, 3) uint8, its longer side at most `LONGEST` px."""
    from reverie.engine.octaves import fit, resize

    colours = picture[..., :3].movedim(-1, 0)[None].float()
    size = (picture.shape[0], picture.shape[1])
    if max(size) > LONGEST:
        colours = resize(colours, fit(size, LONGEST))
    return (colours[0].movedim(0, -1).clamp(0, 1) * 255).round().byte().cpu().numpy()
