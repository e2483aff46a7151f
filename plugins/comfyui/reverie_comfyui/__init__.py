"""The ComfyUI adapter: nodes generated from the Recipe's settings.

nodes/ has the nodes, as descriptions and plain functions; v3.py and v1.py make ComfyUI's classes of
them. Nothing here is imported before ComfyUI, or `reverie install`, asks.
"""

from __future__ import annotations

import os
from typing import Any

API = "REVERIE_COMFYUI_API"
"""Environment variable: "v1" registers the nodes in the older way also where V3 is there."""


def register() -> dict[str, Any]:
    """Give what the pack's root module shows to ComfyUI.

    Raises:
        ImportError: something that the pack needs is missing; the sentence says how to get it.
    """
    from reverie_comfyui import needs, stand_in, weights

    needs.check()
    stand_in.for_pluggy()
    weights.register_folder()
    if os.environ.get(API, "").lower() != "v1":
        from reverie_comfyui import v3

        if v3.is_supported():
            return {"comfy_entrypoint": v3.comfy_entrypoint}
    from reverie_comfyui import v1

    return v1.mappings()
