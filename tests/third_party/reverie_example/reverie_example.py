"""A plug-in for reverie: a network, an objective, a parameterization, a look and a host."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import reverie

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from reverie import Host, Network, ObjectiveFactory, Parameterization, Preset, Setting


def load(_weights: Path | None) -> nn.Module:
    """Two layers of random filters, the same ones every time, whatever the caller's seed."""
    network = nn.Sequential(
        OrderedDict(
            threads=nn.Conv2d(3, 16, kernel_size=6, stride=2, padding=2),
            bend=nn.ReLU(),
            fabric=nn.Conv2d(16, 32, kernel_size=4, stride=2, padding=1),
        )
    )
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weights in network.parameters():
            weights.normal_(std=0.1, generator=generator)
    return network


@reverie.hookimpl
def reverie_networks() -> Iterable[Network]:
    """Offer a network that brings its weights in code."""
    yield reverie.Network(
        name="woven", summary="Random filters: cloth.", load=load, default_layer="fabric"
    )


@reverie.objective("The contrast inside a layer.")
def contrast(layer: str) -> reverie.Objective:
    """Each picture's variance over a layer's activations (N, C, H, W)."""
    return reverie.Objective(frozenset({layer}), lambda a: a[layer].var(dim=(1, 2, 3)))


@reverie.hookimpl
def reverie_objectives() -> Iterable[ObjectiveFactory[Any]]:
    """Offer `contrast(layer)`."""
    yield contrast


@reverie.hookimpl
def reverie_parameterizations() -> Iterable[Parameterization]:
    """Offer a space without edges."""
    yield reverie.Parameterization(
        name="logit",
        summary="Pixels behind a sigmoid: colours never clip.",
        encode=lambda image: image.clamp(0.001, 0.999).logit(),
        decode=lambda latent, _size: latent.sigmoid(),
    )


@reverie.hookimpl
def reverie_presets() -> Iterable[Preset]:
    """Offer a look that uses all of the above."""
    recipe = reverie.Recipe(network="woven", objective="contrast(fabric)", parameterization="logit")
    yield reverie.Preset(name="cloth", summary="Everything is woven.", recipe=recipe)


def control(setting: Setting) -> dict[str, Any]:
    """Describe a form's control."""
    return {
        "id": setting.name,
        "title": setting.label,
        "default": setting.default,
        "minimum": setting.minimum,
        "maximum": setting.maximum,
    }


def to_image(picture: Image.Image) -> Tensor:
    """Give a picture's colours as (1, 3, H, W) float32 in 0..1."""
    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)[None].float() / 255


def from_image(image: Tensor, like: Image.Image) -> Image.Image:
    """Give a picture with the alpha of `like`."""
    picture = Image.fromarray((image[0].permute(1, 2, 0) * 255).round().byte().cpu().numpy())
    if "A" in like.getbands():
        picture.putalpha(like.getchannel("A"))
    return picture


@reverie.hookimpl
def reverie_hosts() -> Iterable[Host]:
    """Offer scripts that hold Pillow pictures."""
    yield reverie.Host(
        name="pillow",
        summary="Dream on Pillow pictures.",
        control=control,
        to_image=to_image,
        from_image=from_image,
    )
