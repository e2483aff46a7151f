"""What an objective looks at besides the picture: other pictures, and what was found out before.

The other pictures are rolled by the jitter and cut into tiles exactly as the dreamed one, so that
every position is compared with itself. What depends on the whole picture, such as which channels
are strongest, is looked up when an octave begins.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reverie.engine.jitter import roll
from reverie.engine.octaves import fit, resize
from reverie.objectives import INPUT, ORIGINAL, TARGET

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reverie.networks.prepared import PreparedNetwork
    from reverie.objectives import Look, Objective


@dataclass(frozen=True)
class Reference:
    """What a step gets besides the picture."""

    pictures: Mapping[str, Tensor] = field(default_factory=dict)
    """By `ORIGINAL` or `TARGET`, shaped like the picture, or (1, 3, H, W) for all of a batch."""
    found: Mapping[str, Tensor] = field(default_factory=dict)
    """By a look's key, a row for each picture, (N, ...)."""

    def of(self, number: int) -> Reference:
        """Give what belongs to one picture of a batch."""

        def one(each: Tensor) -> Tensor:
            return each if len(each) == 1 else each[number : number + 1]

        return Reference(
            {key: one(picture) for key, picture in self.pictures.items()},
            {key: one(row) for key, row in self.found.items()},
        )

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Reference:
        """Give it with all its pictures changed as the picture is: cut, turned, scaled."""
        return Reference({key: change(each) for key, each in self.pictures.items()}, self.found)


def activations_of(
    reference: Reference,
    objective: Objective,
    shift: tuple[int, int],
    see: Callable[[Tensor, tuple[int, int]], Mapping[str, Tensor]],
) -> dict[str, Tensor]:
    """Give what an objective finds besides the activations of the picture itself.

    Args:
        reference: of this picture, or of this tile of it.
        objective: says what it needs.
        shift: px by which the network sees the pictures rolled.
        see: runs the network on a picture, rolled by a shift, without a gradient.
    """
    given = dict(reference.found)
    for prefix, picture in reference.pictures.items():
        wanted = _after(prefix, objective.references)
        if not wanted:
            continue
        with torch.no_grad():
            rolled = {INPUT: roll(picture, shift)}
            seen = rolled if wanted == {INPUT} else {**see(picture, shift), **rolled}
        given |= {prefix + name: seen[name] for name in wanted}
    return given


class Glances:
    """Looks at whole pictures when an octave begins; gives the octave's `Reference`.

    Args:
        prepared: the network, ready for the objective's layers.
        objective: says what it needs.
        target: the guide over the whole picture, (1, 3, H, W), where it is looked at so.
        most: px of a picture that are seen at once; a larger one is looked at smaller.
    """

    def __init__(
        self, prepared: PreparedNetwork, objective: Objective, target: Tensor | None, most: int
    ) -> None:
        self._prepared = prepared
        self._objective = objective
        self.target = target
        self._most = most

    def __call__(
        self, picture: Tensor, original: Tensor, before: Reference | None = None
    ) -> Reference:
        """Look at the pictures of an octave.

        Args:
            picture: the dreamed one as the octave begins, (N, 3, H, W).
            original: the undreamed one at this size.
            before: what was given for the octave before; None in the first.
        """
        size = (picture.shape[2], picture.shape[3])
        others: dict[str, Tensor] = {}
        names = {*self._objective.references, *(look.at for look in self._objective.looks)}
        if _after(ORIGINAL, names):
            others[ORIGINAL] = original
        if _after(TARGET, names) and self.target is not None:
            others[TARGET] = resize(self.target, size, like=picture)
        found = {} if before is None else dict(before.found)
        due = [
            look for look in self._objective.looks if look.when == "octave" or look.key not in found
        ]
        for prefix, seen in {"": picture, **others}.items():
            found |= self._look(prefix, seen, due)
        return Reference(others, found)

    def _look(self, prefix: str, image: Tensor, due: list[Look]) -> dict[str, Tensor]:
        """Look at each picture of a batch by itself, as much of it at once as there is room for."""
        mine = [look for look in due if _prefix(look.at) == prefix]
        if not mine:
            return {}
        size = (image.shape[2], image.shape[3])
        if size[0] * size[1] > self._most:
            longest = max(1, int(max(size) * (self._most / (size[0] * size[1])) ** 0.5))
            image = resize(image, fit(size, longest))
        rows: dict[str, list[Tensor]] = {look.key: [] for look in mine}
        with torch.no_grad():
            for number in range(len(image)):
                seen = self._prepared(image[number : number + 1])
                for look in mine:
                    rows[look.key].append(look.find(seen[look.at.removeprefix(prefix)]))
        return {key: torch.cat(each) for key, each in rows.items()}


def _prefix(name: str) -> str:
    return next((prefix for prefix in (ORIGINAL, TARGET) if name.startswith(prefix)), "")


def _after(prefix: str, names: set[str] | frozenset[str]) -> set[str]:
    return {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
