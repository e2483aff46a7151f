"""`reverie presets`, `networks`, `objectives`, `parameterizations`, `hosts`: what is there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from reverie.cli.speech import DownloadBar, say, table
from reverie.errors import NetworkError, ReverieError, unknown_name
from reverie.plugins import find, registry
from reverie.types import Host, Network, ObjectiveFactory, Parameterization, Preset

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence


def presets(options: argparse.Namespace) -> int:
    """List the looks, whose they are, and which network they need; or draw them.

    Raises:
        ReverieError: there is no such preset, or a photo without a place for the sheet.
    """
    if options.sheet is not None:
        from reverie.cli.sheet import draw_sheet

        return draw_sheet(options)
    if options.photo is not None:
        raise ReverieError(
            f"say where the sheet goes: reverie presets --sheet OUT.png {options.photo}"
        )
    rows = [
        (p.name, p.recipe.network, _origin(Preset, p.name), p.summary, p.source)
        for p in chosen_presets(options.only)
    ]
    table(rows, ("preset", "network", "from", "what it looks like", "source"))
    return 0


def chosen_presets(names: Sequence[str]) -> list[Preset]:
    """Find the presets of these names; without names, all of them.

    Raises:
        ReverieError: there is no such preset.
    """
    known = registry().presets()
    return [find("preset", known, name) for name in dict.fromkeys(names)] or list(known.values())


def objectives(_options: argparse.Namespace) -> int:
    """List what a dream can climb, as a recipe writes it."""
    rows = [
        (o.call, _origin(ObjectiveFactory, o.name), o.summary)
        for o in registry().objectives().values()
    ]
    table(rows, ("objective", "from", "what it does"))
    say(
        "\nCombine them with + and -, and with numbers by * and /; a layer's name alone is "
        "layer(name)."
    )
    return 0


def parameterizations(_options: argparse.Namespace) -> int:
    """List the spaces in which a picture can climb."""
    return _list(registry().parameterizations(), Parameterization)


def hosts(_options: argparse.Namespace) -> int:
    """List the programs that dream."""
    return _list(registry().hosts(), Host)


def _list(records: Mapping[str, Any], kind: type) -> int:
    rows = [(r.name, _origin(kind, r.name), r.summary) for r in records.values()]
    table(rows, ("name", "from", "summary"))
    return 0


def networks(_options: argparse.Namespace) -> int:
    """List the networks."""
    rows = [
        (
            n.name,
            _origin(Network, n.name),
            "no" if n.weights is None else "once",
            n.default_layer or "-",
            n.summary,
        )
        for n in registry().networks().values()
    ]
    table(rows, ("network", "from", "download", "default layer", "summary"))
    say("\nTheir layers: reverie networks show NAME. Own weights: --network NAME:FILE.")
    return 0


def show_network(options: argparse.Namespace) -> int:
    """List a network's layers: name, channels, stride, receptive field."""
    from reverie.networks.loading import list_layers

    layers, default = list_layers(options.name)
    record = find("network", registry().networks(), options.name.partition(":")[0])
    names = {path: alias for alias, path in record.aliases.items()}
    rows = [
        (
            layer.name,
            names.get(layer.name, "") + (" (default)" if layer.name == default else ""),
            layer.kind,
            str(layer.channels),
            str(layer.stride or "-"),
            str(layer.receptive_field or "-"),
        )
        for layer in layers.values()
    ]
    say(f"{record.summary} {record.source}\n")
    table(rows, ("layer", "also", "kind", "channels", "stride px", "receptive field px"))
    say("\n-: the whole picture, or unknown.")
    return 0


def words_of_network(options: argparse.Namespace) -> int:
    """List a classifier's words and their numbers; nothing is downloaded."""
    record = find("network", registry().networks(), options.name.partition(":")[0])
    words = [] if record.words is None else list(record.words())
    if not words:
        raise NetworkError(
            f"network: {record.name!r} has no words for classes; torchvision's networks have them."
        )
    wanted = options.pattern.casefold()
    rows = [(str(n), word) for n, word in enumerate(words) if wanted in word.casefold()]
    if not rows:
        raise NetworkError(unknown_name(f"class of {record.name!r} with", options.pattern, words))
    table(rows, ("class", "word"))
    return 0


def fetch_network(options: argparse.Namespace) -> int:
    """Download a network's weights, so that it dreams without a connection later."""
    from reverie.networks.weights import fetch_weights

    network = find("network", registry().networks(), options.name)
    if network.weights is None:
        say(f"{network.name} needs no download.", sys.stderr)
        return 0
    with DownloadBar(network.name) as bar:
        path = fetch_weights(network.weights(), on_progress=bar.update)
    say(str(path))
    return 0


def _origin(kind: type, name: str) -> str:
    return registry().origins[kind, name]
