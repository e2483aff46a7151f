"""The cases of the matrix: a network, a kind of objective, a view of the picture, a precision."""

from __future__ import annotations

import os
from itertools import product
from typing import NamedTuple

import torch
from tests.matrix.networks_of_people import PEOPLE, WORDS
from tests.matrix.reference import KINDS, Scene
from tests.matrix.sampling import Row, sampled
from tests.matrix.scenes import waves
from tests.matrix.torchvision_families import FAMILIES

from reverie.engine.octaves import fit

IS_ALL = os.environ.get("REVERIE_TEST_MATRIX") == "all"
"""All of the matrix is run, not a sample."""
NETWORKS = {**FAMILIES, **{name: person.places for name, person in PEOPLE.items()}}
VIEWS = {"whole": "deep", "early": "early", "tiles": "early", "deep tiles": "deep"}
"""How the picture is seen, and which layer `{layer}` is then."""
PRECISIONS = ("float32", "mixed", "bf16")
SIZE, CUT, TILE = (97, 115), (131, 149), 98 * 112
"""Height and width in px of a picture, and of one that is cut because so many px are seen at once;
odd, so that nothing fits by chance."""
SLOW = {"convnext_tiny", "maxvit_t", "swin_t", "swin_v2_t", "vit_b_32"}
"""In bf16 these take seconds on processors that do not multiply in it: a sample sees their early
layers then, and has no tiles."""


class Case(NamedTuple):
    """One picture's gradient, in any precision."""

    network: str
    kind: str
    view: str

    @property
    def layers(self) -> dict[str, str]:
        """The paths of the layers that the objective names, by what its text calls them."""
        names = NETWORKS[self.network]
        known = {"early": names.early, "deep": names.deep, "head": names.head}
        known["layer"] = known[VIEWS[self.view]]
        text = KINDS[self.kind].text
        wanted = {key: path for key, path in known.items() if f"{{{key}}}" in text}
        return wanted | ({"head": names.head} if "logit" in text else {})

    @property
    def text(self) -> str:
        """The objective as a recipe writes it."""
        text = KINDS[self.kind].text
        for key, path in self.layers.items():
            text = text.replace(f"({{{key}}}", f"({path!r}")
        named = {key: f"layer({path!r})" for key, path in self.layers.items()}
        return text.format(**named, word=repr(self.word[0]))

    @property
    def word(self) -> tuple[str, int]:
        """A class's word, and its number."""
        return (WORDS[4].upper(), 4) if self.network in PEOPLE else ("volcano", 980)

    @property
    def is_tiled(self) -> bool:
        return "tiles" in self.view

    def scene(self) -> Scene:
        kind, window = KINDS[self.kind], NETWORKS[self.network].window
        size = (window, window) if window else CUT if self.is_tiled else SIZE
        guide = (window, window) if window else (81, 98)
        pictures = torch.cat([waves(size, seed) for seed in range(1, 1 + kind.batch)])
        others = torch.cat([waves(size, seed) for seed in range(11, 11 + kind.batch)])
        if kind.starts_near:
            others = 0.7 * pictures + 0.3 * others
        looked_at = size
        if self.is_tiled:
            looked_at = fit(size, int(max(size) * (TILE / (size[0] * size[1])) ** 0.5))
        return Scene(pictures, others, waves(guide, 21), (5, -9), looked_at)


def rows() -> list[Row]:
    """All, or a sample in which each of torchvision's networks begins with a class."""
    every: list[Row] = [
        row for row in product(NETWORKS, KINDS, VIEWS, PRECISIONS) if _is_useful(row)
    ]
    if IS_ALL:
        return every
    return sampled(
        [row for row in every if row[0] not in SLOW or _is_quick(row)],
        count=lambda _: 3,
        first=lambda row: "logit" in row[1] or row[0] in PEOPLE,
    )


def _is_useful(row: Row) -> bool:
    """A picture of one window is never cut; early layers are seen in tiles where they can be."""
    is_uncut = NETWORKS[row[0]].window is not None
    return not (is_uncut and "tiles" in row[2]) and (row[2] != "early" or row[0] in SLOW)


def _is_quick(row: Row) -> bool:
    is_deep = row[1] == "two_layers" or "logit" in row[1] or row[2] == "whole"
    return "tiles" not in row[2] and not (is_deep and row[3] == "bf16")
