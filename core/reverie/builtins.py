"""What the library itself brings, through the hooks that everybody uses.

Imports stand inside the functions: what is not asked for is not loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reverie.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reverie.types import Host, Network, ObjectiveFactory, Parameterization, Preset


@hookimpl
def reverie_networks() -> Iterable[Network]:
    """The embedded network, EfficientNet-Lite, BVLC's GoogLeNet, and torchvision's networks."""
    from reverie.networks import bvlc_googlenet, efficientnet_lite, embedded, zoo

    yield embedded.NETWORK
    yield from efficientnet_lite.networks()
    yield bvlc_googlenet.NETWORK
    yield from zoo.networks()


@hookimpl
def reverie_objectives() -> Iterable[ObjectiveFactory[Any]]:
    """The terms of objectives.py."""
    from reverie import objectives

    return objectives.BUILT_IN


@hookimpl
def reverie_parameterizations() -> Iterable[Parameterization]:
    """Pixels, and the spaces of waves."""
    from reverie.engine import parameterization

    return parameterization.BUILT_IN


@hookimpl
def reverie_presets() -> Iterable[Preset]:
    """The known looks."""
    from reverie import presets

    return presets.BUILT_IN


@hookimpl
def reverie_hosts() -> Iterable[Host]:
    """The command line."""
    from reverie.cli import host

    return (host.COMMAND_LINE,)
