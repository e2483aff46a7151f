"""The nodes, one file each: what they take and give, and what they do."""

from __future__ import annotations

from reverie_comfyui.nodes.dream import DREAM
from reverie_comfyui.nodes.network import NETWORK_NODE
from reverie_comfyui.nodes.objective import OBJECTIVE_NODE
from reverie_comfyui.nodes.recipe import RECIPE_NODE
from reverie_comfyui.nodes.region import REGION
from reverie_comfyui.nodes.save_image import SAVE_IMAGE
from reverie_comfyui.nodes.save_recipe import SAVE_RECIPE
from reverie_comfyui.nodes.zoom import ZOOM

NODES = (DREAM, NETWORK_NODE, OBJECTIVE_NODE, RECIPE_NODE, SAVE_RECIPE, SAVE_IMAGE, ZOOM, REGION)
"""In the order of the menu."""
