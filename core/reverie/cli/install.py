"""`reverie install HOST`: put an adapter where its program looks for it, or take it away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reverie.cli.places import user_path
from reverie.cli.speech import say
from reverie.errors import InstallError
from reverie.plugins import find, registry

if TYPE_CHECKING:
    import argparse


def install(options: argparse.Namespace) -> int:
    """Let the host put its adapter there or take it away, and say what it did."""
    host = find("host", registry().hosts(), options.host)
    act = host.uninstall if options.uninstall else host.install
    if act is None:
        able = [one.name for one in registry().hosts().values() if one.install]
        raise InstallError(f"{host.name} needs no installation; these do: {', '.join(able)}.")
    for sentence in act(None if options.path is None else user_path(options.path)):
        say(sentence)
    return 0
