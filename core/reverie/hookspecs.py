"""The hooks: a plug-in implements any, and is found by the entry point group "reverie".

Each hook takes nothing and gives an iterable of one kind of record. Each docstring below is a whole
plug-in that works; the tests run it. A package makes itself known by:

    [project.entry-points.reverie]
    my-plugin = "my_package.my_module"
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reverie.types import Host, Network, ObjectiveFactory, Parameterization, Preset

PROJECT = "reverie"
"""The name of pluggy's project and of the entry point group."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plug-in as the implementation of the hook of the same name."""


@hookspec
def reverie_networks() -> Iterable[Network]:  # type: ignore[empty-body]
    """Offer networks to dream with.

    >>> from torch import nn
    >>> import reverie
    >>> def load(weights):
    ...     return nn.Sequential(nn.Conv2d(3, 8, 7, stride=2, padding=3), nn.ReLU())
    >>> @reverie.hookimpl
    ... def reverie_networks():
    ...     yield reverie.Network(name="edges", summary="Eight random edges.", load=load)
    """


@hookspec
def reverie_objectives() -> Iterable[ObjectiveFactory[Any]]:  # type: ignore[empty-body]
    """Offer objectives: what a dream climbs.

    >>> import reverie
    >>> def contrast(layer):
    ...     return reverie.Objective(frozenset({layer}), lambda a: a[layer].var(dim=(1, 2, 3)))
    >>> @reverie.hookimpl
    ... def reverie_objectives():
    ...     yield reverie.ObjectiveFactory(
    ...         name="contrast", summary="The contrast inside a layer.", make=contrast
    ...     )
    """


@hookspec
def reverie_parameterizations() -> Iterable[Parameterization]:  # type: ignore[empty-body]
    """Offer spaces in which a picture climbs.

    A space that holds only some pictures, such as what a generator makes, says `is_exact=False`,
    and `sizes` if it cannot make every size.

    >>> import reverie
    >>> @reverie.hookimpl
    ... def reverie_parameterizations():
    ...     yield reverie.Parameterization(
    ...         name="logit",
    ...         summary="Pixels behind a sigmoid: colours never clip.",
    ...         encode=lambda image: image.clamp(0.01, 0.99).logit(),
    ...         decode=lambda latent, size: latent.sigmoid(),
    ...     )
    """


@hookspec
def reverie_presets() -> Iterable[Preset]:  # type: ignore[empty-body]
    """Offer looks: recipes with a name.

    >>> import reverie
    >>> @reverie.hookimpl
    ... def reverie_presets():
    ...     yield reverie.Preset(
    ...         name="whisper",
    ...         summary="A breath of texture.",
    ...         recipe=reverie.Recipe(steps=3, step_size=0.8),
    ...     )
    """


@hookspec
def reverie_hosts() -> Iterable[Host]:  # type: ignore[empty-body]
    """Offer a program to dream in.

    >>> import numpy as np, torch
    >>> import reverie
    >>> def control(setting):
    ...     return {"id": setting.name, "title": setting.label, "default": setting.default,
    ...             "minimum": setting.minimum, "maximum": setting.maximum}
    >>> def to_image(picture):  # (H, W, 3) uint8
    ...     return torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
    >>> def from_image(image, like):
    ...     return (image[0].permute(1, 2, 0) * 255).round().byte().numpy()
    >>> @reverie.hookimpl
    ... def reverie_hosts():
    ...     yield reverie.Host(name="mine", summary="Dream in my program.",
    ...                        control=control, to_image=to_image, from_image=from_image)
    """
