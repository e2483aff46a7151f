"""Turns a recipe into what a step needs: names become network, objective and space."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from reverie.device import DTYPES, choose_precision
from reverie.engine.canvas import LARGE, taken_by
from reverie.engine.colour import seen_in_grey
from reverie.engine.correcting import checked
from reverie.engine.footprint import bytes_per_pixel
from reverie.engine.frozen import can_freeze, forbid, freeze
from reverie.engine.gradient import image_gradient
from reverie.engine.octaves import fit, resize
from reverie.engine.operations import Unfreezable
from reverie.engine.pyramid import lapnorm_reach
from reverie.engine.reference import Glances
from reverie.engine.replay import replayed
from reverie.engine.starting import BEGUN
from reverie.engine.tiles import Gradient, least, tiled
from reverie.engine.transforms import COPIES, is_transformed, transformed
from reverie.engine.walk import held
from reverie.engine.wrapping import FRAME, Wraps, wraps_of
from reverie.errors import ObjectiveError, ReverieError
from reverie.grammar import parse_objective
from reverie.networks.loading import load_network
from reverie.objectives import INPUT, layer
from reverie.plugins import find, registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from reverie.engine.reference import Reference
    from reverie.engine.regions import Looks
    from reverie.networks.loading import LoadedNetwork
    from reverie.networks.prepared import PreparedNetwork
    from reverie.objectives import Correction, Objective
    from reverie.recipe import Recipe
    from reverie.types import Parameterization

_log = logging.getLogger(__name__)

GUIDE_SIDE = 384
"""px: the longest side at which a guide is looked at, if it is larger."""


_FLOAT = 4
"""Bytes of a value in float32."""


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
    halo: int
    """px that are seen across edges that meet."""
    needs_guide: bool = False
    """The objective looks at a guide picture, and none was given."""
    lays_guide: bool = False
    """It compares with the guide place by place, laid over the whole picture."""
    look: Glances | Looks | None = None
    """Looks at whole pictures when an octave begins; None: the objective needs the picture only."""
    corrections: tuple[Correction, ...] = ()
    """What is done to the picture after each step."""
    sees_batch: bool = False
    """All pictures of a batch are seen at once."""

    @property
    def wraps(self) -> Wraps:
        """Which of the picture's edges meet."""
        return wraps_of(self.recipe.edges)

    @property
    def margin(self) -> int | None:
        """How many px around a selection are dreamed with it; None: the whole picture.

        What lies farther than half the reach weighs next to nothing: without it the gradient inside
        a selection of 200 px changed by 0.1 to 0.4 % (embedded network), 1.2 to 2.5 % (SqueezeNet)
        on three pictures, by 2 to 13 % without what lies farther than a third. Jitter moves the
        rectangle's border about, so its range is added.
        """
        if self.reach is None or self.wraps != FRAME:
            return None
        return min(self.reach, self.reach // 2 + self.recipe.jitter)

    def refuse_without_guide(self) -> None:
        """Raise ObjectiveError, with what to do, if a guide is needed and was not given."""
        if self.needs_guide:
            raise ObjectiveError(
                f"objective: {self.recipe.objective} looks at a guide picture; give one with "
                "dream(..., guide=picture), with --guide PICTURE on the command line, or under "
                "Guide in an editor."
            )

    def beside(self, picture: Tensor, original: Tensor, *before: Any) -> tuple[Any, ...]:
        """Give what the steps of an octave look at besides the picture; mostly nothing.

        Args:
            picture: the dreamed one as the octave begins, (N, 3, H, W).
            original: the undreamed one at this size.
            before: what this gave for the octave before, if there was one.
        """
        return () if self.look is None else (self.look(picture, original, *before),)

    def lay_target_over(self, pixels: Tensor, rows: slice, columns: slice) -> None:
        """Stretch the guide over whole pictures, and keep of it what covers the part dreamed.

        Only where the objective compares with it place by place.
        """
        if self.look is not None and self.look.target is not None:
            size = (pixels.shape[2], pixels.shape[3])
            target = resize(self.look.target.to(pixels.device), size, like=pixels)
            self.look.target = target[:, :, rows, columns]

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
        around = 2 * (self.halo if self.wraps != FRAME else 0)
        pad = 2 * self.recipe.pad
        whole = (shape[-2] + pad + around * self.wraps.down) * (
            shape[-1] + pad + around * self.wraps.across
        )
        seen = whole if self.reach is None else min(whole, least(self.reach, self.stride))
        together = shape[0] if self.sees_batch else 1
        kept = kept_by(self.recipe, self.space, shape, in_file=in_file)
        return kept + together * seen * self.footprint


def kept_by(recipe: Recipe, space: Parameterization, shape: Sequence[int], *, in_file: bool) -> int:
    """Give the bytes of memory for all whole pictures (N, 3, H, W) that a dream keeps at once."""
    copies = COPIES if is_transformed(recipe) else 0
    copies += BEGUN if recipe.start != "picture" else 0
    kept = taken_by(shape, in_file=in_file)
    kept += held(space, recipe.optimizer, shape, in_file=in_file)
    kept += _kept_by_bands(recipe, shape, in_file=in_file)
    return kept + taken_by(shape, in_file=in_file, copies=copies)


def _kept_by_bands(recipe: Recipe, shape: Sequence[int], *, in_file: bool) -> int:
    """Give the bytes of the bands of `lapnorm`, and of the picture with a halo where edges meet."""
    if not recipe.laplacian:
        return 0
    wraps = wraps_of(recipe.edges)
    around = 2 * lapnorm_reach(recipe.laplacian)
    seen = (*shape[:2], shape[2] + around * wraps.down, shape[3] + around * wraps.across)
    # Two sets of coarser bands are two thirds of a picture.
    return taken_by(seen, in_file=in_file, copies=1 if wraps == FRAME else 2)


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
    corrections = checked(objective)
    prepared = network.prepare(objective.layers, device, forth)
    needs_guide = objective.needs_guide and guide is None
    if guide is not None and objective.guides:
        objective = objective.guided_by(_see(prepared, guide))
    whole = _gradient(prepared, objective, back)
    if recipe.precision == "bf16":
        whole = _telling(whole, prepared)
    whole = _announced(whole, on_tile)
    if recipe.colour == "luminance":
        whole = seen_in_grey(whole)
    local = objective.is_local
    reach, stride = network.reach(objective.layers), network.stride(objective.layers)
    has_tape = not (_has_no_tape(prepared, back) and can_freeze(prepared))
    footprint = bytes_per_pixel(network.layers, prepared.paths, forth, keeps_all=has_tape)
    footprint += _bytes_beside(network, objective)
    most = LARGE if memory is None else memory // footprint
    cells = _cells(network, prepared, objective)
    halo = -(-max(reach, network.smallest_side(objective.layers)) // stride) * stride
    wraps = FRAME if is_transformed(recipe) else wraps_of(recipe.edges)  # of what is seen
    gradient = tiled(
        whole,
        None if not local else reach if wraps == FRAME else halo,
        stride,
        most=most,
        cells=cells,
        is_frugal=memory is not None,
        sees_batch=objective.sees_batch,
        wraps=wraps,
        around=halo,
    )
    return Climb(
        recipe=recipe,
        space=space,
        gradient=transformed(gradient, recipe, network.smallest_side(objective.layers)),
        smallest_side=network.smallest_side(objective.layers),
        reach=reach if local else None,
        stride=stride,
        footprint=footprint,
        halo=halo,
        needs_guide=needs_guide,
        lays_guide=objective.lays_guide,
        look=Glances(prepared, objective, guide, most) if objective.needs_references else None,
        corrections=corrections,
        sees_batch=objective.sees_batch,
    )


def _bytes_beside(network: LoadedNetwork, objective: Objective) -> int:
    """Bytes for each px of the activations that other pictures keep during a step, and of these."""
    if not objective.references:
        return 0
    names = {name.partition(":")[2] for name in objective.references} - {INPUT}
    layers = [network.layer(name) for name in names]
    values = sum(layer.channels / layer.stride**2 for layer in layers if layer.stride)
    return round(_FLOAT * (6 + len({n.partition(":")[0] for n in objective.references}) * values))


def _announced(gradient: Gradient, on_tile: Callable[[], None] | None) -> Gradient:
    if on_tile is None:
        return gradient

    def announced(
        image: Tensor, shift: tuple[int, int], *reference: Reference
    ) -> tuple[Tensor, Tensor]:
        on_tile()
        return gradient(image, shift, *reference)

    return announced


def _telling(gradient: Gradient, prepared: PreparedNetwork) -> Gradient:
    """Say once what bf16 could not be had for, where it was asked for by name."""

    def telling(
        image: Tensor, shift: tuple[int, int] = (0, 0), *reference: Reference
    ) -> tuple[Tensor, Tensor]:
        result = gradient(image, shift, *reference)
        program = prepared.program(tuple(image.shape))
        parts = () if program is None else tuple(program.derived.values())
        is_wide = prepared.lacks_bf16 or any(part.lacks_bf16 for part in parts)
        if is_wide and not prepared.derived.get(_TOLD):
            prepared.derived[_TOLD] = True
            _log.warning(
                "precision: %s cannot do all of network %r in bf16; the rest is computed in "
                "float32.",
                prepared.device,
                prepared.record.name,
            )
        return result

    return telling


_TOLD = "told of float32"


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
) -> Callable[[int, int], int] | None:
    """Say how to count the outputs that the coarsest layer has for a length in px along an axis.

    Axis 0 goes down, axis 1 right.

    None where that is the picture, or a layer without positions. Counted on a narrow strip, because
    padding, rounding and what a network does by itself make it more than a division.
    """
    strides = {name: network.layer(name).stride for name in objective.layers if name != INPUT}
    if not strides or None in strides.values() or network.record.window is not None:
        return None
    coarsest = max(strides, key=lambda name: strides[name] or 0)
    narrow = network.smallest_side(objective.layers)

    @cache
    def cells(length: int, axis: int) -> int:
        long = max(length, narrow)
        shape = (1, 3, long, narrow) if axis == 0 else (1, 3, narrow, long)
        strip = torch.zeros(shape, device=prepared.device, dtype=torch.float32)
        with torch.no_grad():
            return prepared(strip)[coarsest].shape[2 + axis]

    return cells


def _gradient(prepared: PreparedNetwork, objective: Objective, back: torch.dtype) -> Gradient:
    """Choose how: tape-free on the CPU and in mixed precision; on NVIDIA's GPUs recorded."""

    def with_autograd(
        image: Tensor, shift: tuple[int, int] = (0, 0), *reference: Reference
    ) -> tuple[Tensor, Tensor]:
        return image_gradient(prepared, objective, image, shift, *reference)

    def without_tape(
        image: Tensor, shift: tuple[int, int] = (0, 0), *reference: Reference
    ) -> tuple[Tensor, Tensor]:
        if (frozen := freeze(prepared, back, tuple(image.shape))) is not None:
            try:
                return frozen.gradient(objective, image, shift, *reference)
            except Unfreezable as reason:
                forbid(prepared, reason)
        return with_autograd(image, shift, *reference)

    gradient = without_tape if _has_no_tape(prepared, back) else with_autograd
    if prepared.device.type != "cuda":
        return gradient
    if not objective.text:  # nothing tells it from another
        return replayed(lambda image, *reference: gradient(image, (0, 0), *reference))
    key = ("replayed", objective.text, back)
    if key not in prepared.derived:
        prepared.derived[key] = replayed(
            lambda image, *reference: gradient(image, (0, 0), *reference)
        )
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
    return parse_objective(recipe.objective, registry().objectives()).fit(network)
