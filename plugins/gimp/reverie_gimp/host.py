"""The GIMP host as a record; what it needs is imported when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import reverie
from reverie_gimp.arguments import argument

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torch import Tensor


def to_image(pixels: Any) -> Tensor:
    """Give (H, W, 4) float32, as GIMP's `R'G'B'A float`, as (1, 3, H, W) float32 in 0..1."""
    import numpy as np
    import torch

    colours = np.asarray(pixels, np.float32)[..., :3].clip(0, 1)
    return torch.from_numpy(colours.copy()).permute(2, 0, 1)[None].contiguous()


def from_image(image: Tensor, like: Any) -> Any:
    """Add the dream's change to the pixels: alpha, and colours outside 0..1, live on."""
    import numpy as np

    before = np.array(like, np.float32)
    change = image[0].permute(1, 2, 0).cpu().numpy() - before[..., :3].clip(0, 1)
    before[..., :3] += change
    return before


def install(path: Path | None) -> Iterable[str]:
    """Copy the plug-in into every GIMP 3 profile, or into that of `path`."""
    from reverie_gimp import installer

    return installer.install(path)


def uninstall(path: Path | None) -> Iterable[str]:
    """Take the plug-in out again."""
    from reverie_gimp import installer

    return installer.uninstall(path)


def doctor() -> Iterable[str]:
    """Say what is wrong in the profiles that have the plug-in."""
    from reverie_gimp import doctor

    return doctor.faults()


@reverie.hookimpl
def reverie_hosts() -> Iterable[reverie.Host]:
    """Offer GIMP 3."""
    yield reverie.Host(
        name="gimp",
        summary="GIMP 3: Filters > Artistic > Reverie..., with a live preview.",
        control=argument,
        to_image=to_image,
        from_image=from_image,
        install=install,
        uninstall=uninstall,
        doctor=doctor,
    )
