"""The ComfyUI host as a record; what it needs is imported when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import reverie

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torch import Tensor

    from reverie.setting import Setting


def control(setting: Setting) -> dict[str, Any]:
    """Describe the input for a setting as ComfyUI's page knows it: its type and options."""
    from reverie_comfyui import fields, v1

    kind, options = v1.of(fields.of_setting(setting))
    if isinstance(kind, list):
        return {"type": "COMBO", "choices": kind, **options}
    return {"type": kind, **options}


def to_image(image: Any) -> Tensor:
    """Give an IMAGE, (B, H, W, C), as (B, 3, H, W) float32 in 0..1."""
    from reverie_comfyui import images

    images.check(image)
    return images.to_image(image)


def from_image(image: Tensor, like: Any) -> Tensor:
    """Give (B, 3, H, W) as an IMAGE with the alpha of another."""
    from reverie_comfyui import images

    return images.from_image(image, like)


def install(path: Path | None) -> Iterable[str]:
    """Copy the nodes into the `custom_nodes` of a ComfyUI."""
    from reverie_comfyui import installer

    return installer.install(path)


def uninstall(path: Path | None) -> Iterable[str]:
    """Take the nodes out again."""
    from reverie_comfyui import installer

    return installer.uninstall(path)


def doctor() -> Iterable[str]:
    """Say what is wrong with the copies in the usual places."""
    from reverie_comfyui import installer

    return installer.faults()


@reverie.hookimpl
def reverie_hosts() -> Iterable[reverie.Host]:
    """Offer ComfyUI."""
    yield reverie.Host(
        name="comfyui",
        summary="ComfyUI: nodes that dream, with a live preview inside the node.",
        control=control,
        to_image=to_image,
        from_image=from_image,
        install=install,
        uninstall=uninstall,
        doctor=doctor,
    )
