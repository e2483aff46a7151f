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
VIEWS = {"whole": "deep", "tiles": "early", "deep tiles": "deep"}
"""How the picture is seen, and which layer `{layer}` is then."""
PRECISIONS = ("float32", "mixed", "bf16")
SIZE, CUT, TILE = (97, 115), (131, 149), 98 * 112
"""Height and width in px of a picture, and of one that is cut because so many px are seen at once;
odd, so that nothing fits by chance."""
HEAVY = {
    *("convnext_tiny", "densenet121", "efficientnet_v2_s", "inception_v3", "maxvit_t"),
    *("resnext50_32x4d", "swin_t", "swin_v2_t", "vgg11_bn", "vit_b_32", "wide_resnet50_2"),
}
"""Of these a sample has less: one gradient, a class's, and a dream on an early layer. In bf16,
which takes seconds on processors that do not multiply in it, that is all."""


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
        row
        for row in product(NETWORKS, KINDS, VIEWS, PRECISIONS)
        if row[2] == "whole" or NETWORKS[row[0]].window is None  # one window is never cut
    ]
    if IS_ALL:
        return every
    return sampled(
        [row for row in every if is_sampled(row[0]) and (row[0] not in HEAVY or _is_quick(row))],
        count=lambda network: 1 if network in HEAVY else 2,
        first=lambda row: "logit" in row[1] or row[0] in PEOPLE,
    )


def is_sampled(network: str) -> bool:
    """The wide ResNet is left to the whole matrix: two others are of its kind, and smaller."""
    return IS_ALL or network != "wide_resnet50_2"


def _is_quick(row: Row) -> bool:
    return row[2] == "whole" and row[3] != "bf16"
