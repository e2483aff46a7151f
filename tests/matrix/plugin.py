"""The plug-in that offers the networks of networks_of_people.py to reverie."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tests.matrix.networks_of_people import PEOPLE, REFUSED, WORDS

import reverie

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from torch import nn

MEAN, STD = (0.5, 0.45, 0.4), (0.25, 0.2, 0.3)


def _load(build: Callable[[], nn.Module], _: Path | None) -> nn.Module:
    return build()


@reverie.hookimpl
def reverie_networks() -> Iterable[reverie.Network]:
    for name, person in PEOPLE.items():
        yield reverie.Network(
            name=name,
            summary="Somebody's.",
            load=partial(_load, person.build),
            mean=MEAN,
            std=STD,
            default_layer=person.places.deep,
            head=person.places.head,
            words=lambda: WORDS,
            window=person.places.window,
        )
    for name, (build, _) in REFUSED.items():
        yield reverie.Network(name=name, summary="Nobody's.", load=partial(_load, build))
