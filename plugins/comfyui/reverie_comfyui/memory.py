"""Memory: room for a dream, and networks that ComfyUI can have back whenever it wants."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Any

from reverie.device import says_out_of_memory
from reverie.errors import ReverieError
from reverie_comfyui import program

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, device

_log = logging.getLogger(__name__)

NETWORK_BYTES = 256 * 2**20
"""What a network is taken to need; those that dreams use, cut after their layer, need less."""
PIXEL_BYTES = 512
"""Working memory for each pixel that is seen at once, taken generously."""
SEEN_AT_ONCE = 4_000_000
"""px; larger pictures are climbed in tiles of about this size."""
EVERYTHING = 1e30
"""Bytes; what ComfyUI itself asks for to unload all models."""


def make_room(pixels: int) -> device:
    """Ask ComfyUI for the device to dream on, and to make room there.

    Our networks are registered as one model, so that ComfyUI can let them go: when another model
    needs the room, or when the user frees the memory.

    Args:
        pixels: of the largest picture.
    """
    management = program.model_management()
    found: device = management.get_torch_device()
    needed = min(pixels, SEEN_AT_ONCE) * PIXEL_BYTES
    management.load_models_gpu([_tenant(found)], memory_required=needed)
    return found


@cache
def _tenant(where: device) -> Any:
    """Make what ComfyUI's memory management sees of our networks on a device."""
    import torch
    from torch import nn

    patcher = program.model_patcher().ModelPatcher(
        nn.Identity(),
        load_device=where,
        offload_device=torch.device("cpu"),
        size=NETWORK_BYTES,
    )
    patcher.add_callback(program.callbacks().ON_DETACH, _on_detach)
    return patcher


def _on_detach(_patcher: Any, unpatch_all: bool = True) -> None:
    if unpatch_all:  # without, it is only loaded again
        from reverie.networks.loading import release

        release()


def with_all_room(dream: Callable[[], Tensor], where: device) -> Tensor:
    """Dream, and once more without any other model on the device if the memory was not enough.

    The engine has made its tiles as small as they can be before it says so.

    Args:
        dream: what to do.
        where: the device.
    Raises:
        ReverieError: the device alone has not enough memory.
    """
    try:
        return dream()
    except ReverieError as error:
        if not _lacks_memory(error):
            raise
    # Only here has the error, with all that its frames hold, let its memory go.
    _log.warning("The memory was not enough; dreaming once more without other models in it.")
    program.model_management().free_memory(EVERYTHING, where)
    hand_back()
    return dream()


def _lacks_memory(error: ReverieError) -> bool:
    return error.__cause__ is not None and says_out_of_memory(error.__cause__)


def hand_back() -> None:
    """Give working memory back to the device; networks stay until ComfyUI wants their room."""
    program.model_management().soft_empty_cache()
