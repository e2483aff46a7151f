"""Turns a recipe into what a step needs: names become network, objective and space."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch

from reverie.device import DTYPES, choose_precision
from reverie.engine.canvas import LARGE, taken_by
from reverie.engine.footprint import bytes_per_pixel
from reverie.engine.frozen import forbid, freeze
from reverie.engine.gradient import image_gradient
from reverie.engine.octaves import fit, resize
from reverie.engine.operations import Unfreezable
from reverie.engine.replay import replayed
from reverie.engine.tiles import Gradient, least, tiled
from reverie.engine.walk import held
from reverie.errors import ObjectiveError, ReverieError
from reverie.grammar import parse_objective
from reverie.networks.loading import load_network
from reverie.objectives import INPUT, layer
from reverie.plugins import find, registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from reverie.networks.loading import LoadedNetwork, PreparedNetwork
    from reverie.objectives import Objective
    from reverie.recipe import Recipe
    from reverie.types import Parameterization

GUIDE_SIDE = 384
"""px: the longest side at which a guide is looked at, if it is larger."""


@dataclass(frozen=True)
class Climb:
    """A recipe made ready on a device."""

    recipe: Recipe
    space: Parameterization
    gradient: Gradient
    """The objective's, in tiles where a picture is large."""
    smallest_side: int
    """px; a smaller picture shows the network nothing."""
    reach: int | None
    """px; how far from a pixel lies what its gradient depends on; None: everywhere."""
    stride: int
    """px between the outputs of the coarsest layer looked at."""
    footprint: int
    """Bytes of working memory for each px that is seen at once."""
    needs_guide: bool = False
    """The objective looks at a guide picture, and none was given."""

    @property
    def margin(self) -> int | None:
        """How many px around a selection are dreamed with it; None: the whole picture.

        What lies farther than half the reach weighs next to nothing: without it the gradient inside
        a selection of 200 px changed by 0.1 to 0.4 % (embedded network), 1.2 to 2.5 % (SqueezeNet)
        on three pictures, by 2 to 13 % without what lies farther than a third. Jitter moves the
        rectangle's border about, so its range is added.
        """
        if self.reach is None:
            return None
        return min(self.reach, self.reach // 2 + self.recipe.jitter)

    def refuse_without_guide(self) -> None:
        """Raise ObjectiveError, with what to do, if a guide is needed and was not given."""
        if self.needs_guide:
            raise ObjectiveError(
                f"objective: {self.recipe.objective} looks at a guide picture; give one with "
                "dream(..., guide=picture), or --guide PICTURE on the command line."
            )

    def decodable(self, sizes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Bring octaves' (height, width) to the sizes that the space can decode, each once.

        Raises:
            ReverieError: the network sees nothing in a picture of the largest.
        """
        if self.space.sizes is None:
            return list(sizes)
        found = list(dict.fromkeys(map(self.space.sizes, sizes)))
        large = [size for size in found if min(size) >= self.smallest_side]
        if not large:
            height, width = found[-1]
            raise ReverieError(
                f"parameterization: {self.space.name} gives {width} x {height} px, and the "
                f"objective needs {self.smallest_side}; choose a layer nearer to the picture, a "
                "larger size, or another parameterization."
            )
        return large

    def least_memory(self, shape: Sequence[int], *, in_file: bool) -> int:
        """Bytes of working memory that pictures (N, 3, H, W) cannot do without."""
        whole = shape[-2] * shape[-1]
        seen = whole if self.reach is None else min(whole, least(self.reach, self.stride))
        kept = taken_by(shape, in_file=in_file)
        kept += held(self.space, self.recipe.optimizer, shape, in_file=in_file)
        return kept + seen * self.footprint


def prepare(
    recipe: Recipe,
    device: torch.device,
    memory: int | None = None,
    guide: Tensor | None = None,
    on_tile: Callable[[], None] | None = None,
) -> Climb:
    """Load and prepare what a recipe names.

    Args:
        recipe: what to do.
        device: where.
        memory: bytes of working memory for a gradient, which decide the size of tiles; None:
            4 megapixels are seen at once.
        guide: the picture that a guided objective looks at, (1, 3, H, W) in 0..1. Without it such
            an objective is prepared all the same, but cannot be climbed.
        on_tile: called before each tile's gradient.
    Raises:
        ReverieError: the network, a layer, the objective or the parameterization is unknown.
    """
    space = find("parameterization", registry().parameterizations(), recipe.parameterization)
    network = load_network(recipe.network)
    objective = _objective(recipe, network)
    forth, back = DTYPES[choose_precision(recipe.precision, device)]
    prepared = network.prepare(objective.layers, device, forth)
    if guide is not None and objective.guides:
        objective = objective.guided_by(_see(prepared, guide))
    whole = _announced(_gradient(prepared, objective, back), on_tile)
    local = objective.is_local
    reach, stride = network.reach(objective.layers), network.stride(objective.layers)
    has_tape = not _has_no_tape(prepared, back) or freeze(prepared, back) is None
    footprint = bytes_per_pixel(network.layers, prepared.paths, forth, keeps_all=has_tape)
    most = LARGE if memory is None else memory // footprint
    cells = _cells(network, prepared, objective)
    return Climb(
        recipe=recipe,
        space=space,
        gradient=tiled(
            whole,
            reach if local else None,
            stride,
            most=most,
            cells=cells,
            is_frugal=memory is not None,
        ),
        smallest_side=network.smallest_side(objective.layers),
        reach=reach if local else None,
        stride=stride,
        footprint=footprint,
        needs_guide=bool(objective.guides),
    )


def _announced(gradient: Gradient, on_tile: Callable[[], None] | None) -> Gradient:
    if on_tile is None:
        return gradient

    def announced(image: Tensor, shift: tuple[int, int]) -> tuple[Tensor, Tensor]:
        on_tile()
        return gradient(image, shift)

    return announced


def _see(prepared: PreparedNetwork, guide: Tensor) -> Mapping[str, Tensor]:
    """What a network sees in a guide, made small enough that matching does not take for ever."""
    height, width = guide.shape[2:]
    if max(height, width) > GUIDE_SIDE:
        height, width = fit((height, width), GUIDE_SIDE)
    guide = resize(guide.to(prepared.device), (height, width))
    with torch.no_grad():
        return prepared(guide)


def _has_no_tape(prepared: PreparedNetwork, back: torch.dtype) -> bool:
    return prepared.device.type == "cpu" or back is not prepared.dtype


def _cells(
    network: LoadedNetwork, prepared: PreparedNetwork, objective: Objective
) -> Callable[[int], int] | None:
    """Say how to count the outputs in a row that the coarsest layer has for a length in px.

    None where that is the picture, or a layer without positions. Counted on a narrow strip, because
    padding, rounding and what a network does by itself make it more than a division.
    """
    strides = {name: network.layer(name).stride for name in objective.layers if name != INPUT}
    if not strides or None in strides.values() or network.record.window is not None:
        return None
    coarsest = max(strides, key=lambda name: strides[name] or 0)
    narrow = network.smallest_side(objective.layers)

    @cache
    def cells(length: int) -> int:
        shape = (1, 3, max(length, narrow), narrow)
        strip = torch.zeros(shape, device=prepared.device, dtype=torch.float32)
        with torch.no_grad():
            return prepared(strip)[coarsest].shape[2]

    return cells


def _gradient(prepared: PreparedNetwork, objective: Objective, back: torch.dtype) -> Gradient:
    """Choose how: tape-free on the CPU and in mixed precision, recorded on NVIDIA's, else as is."""

    def with_autograd(image: Tensor, shift: tuple[int, int] = (0, 0)) -> tuple[Tensor, Tensor]:
        return image_gradient(prepared, objective, image, shift)

    def without_tape(image: Tensor, shift: tuple[int, int]) -> tuple[Tensor, Tensor]:
        if (frozen := freeze(prepared, back)) is not None:
            try:
                return frozen.gradient(objective, image, shift)
            except Unfreezable as reason:
                forbid(prepared, reason)
        return with_autograd(image, shift)

    if _has_no_tape(prepared, back):
        return without_tape
    if prepared.device.type != "cuda":
        return with_autograd
    if not objective.text:  # nothing tells it from another
        return replayed(with_autograd)
    key = ("replayed", objective.text)
    if key not in prepared.derived:
        prepared.derived[key] = replayed(with_autograd)
    recorded: Gradient = prepared.derived[key]
    return recorded


def resolve(recipe: Recipe, device: torch.device) -> Recipe:
    """Write out what a recipe leaves open, objective and precision, so that it can be repeated."""
    return recipe.evolve(
        objective=_objective(recipe, load_network(recipe.network)).text,
        precision=choose_precision(recipe.precision, device),
    )


def _objective(recipe: Recipe, network: LoadedNetwork) -> Objective:
    if not recipe.objective.strip():
        return layer(network.default_layer)
    return parse_objective(recipe.objective, registry().objectives())
