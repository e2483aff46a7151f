"""The algorithm of DeepDream, top to bottom: octaves, and steps up the gradient in each.

Mordvintsev, Olah, Tyka 2015: the network stays fixed and the picture climbs the gradient of an
objective. It starts small, so that large shapes come first; what was dreamed at one size is laid,
as detail, on the sharp original at the next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from reverie.device import ExactArithmetic, choose_device, own_grad_mode, says_out_of_memory
from reverie.engine.canvas import bands, copied, lives_in_file
from reverie.engine.correcting import AfterStep
from reverie.engine.frames import GREY_LEVELS, Frames, levels
from reverie.engine.gradient import magnitude, smooth, smoothing_reach, smoothing_sigma
from reverie.engine.guiding import guided
from reverie.engine.jitter import Jitter
from reverie.engine.octaves import fit, octave_sizes, resize
from reverie.engine.prepare import Climb, kept_by, prepare
from reverie.engine.pyramid import lapnorm, lapnorm_reach
from reverie.engine.regions import (
    Looks,
    Region,
    kept_by_regions,
    look_at_guide,
    merged,
    recipes_of,
    together,
    weights_of,
)
from reverie.engine.selection import Area, select
from reverie.engine.starting import blank, start
from reverie.engine.tones import Tones
from reverie.engine.walk import Walk
from reverie.engine.wrapping import Wraps, around, wraps_of
from reverie.errors import Cancelled, RecipeError, ReverieError
from reverie.image import to_mask, to_tensor
from reverie.networks.loading import load_network
from reverie.plugins import find, registry
from reverie.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np

    from reverie.engine.reference import Reference

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step that was taken, as `on_step` gets it; raise `Cancelled` there to end the dream."""

    octave: int
    """Which octave, from 1, the smallest."""
    octaves: int
    step: int
    """Which step of this octave, from 1."""
    steps: int
    done: float
    """How much of all the work is done, 0..1, measured in pixels."""
    size: tuple[int, int]
    """Height and width of this octave in px."""
    values: Tensor
    """The objective of each picture before this step, (N,), on the device; with regions the sum."""
    picture: Tensor
    """The pictures now, (N, 3, H, W), at this octave's size; not to be changed.

    The next step changes them in place: copy what should be kept.
    """
    result: Callable[[], Tensor]
    """Gives the pictures so far at their full size, in 0..1, until the next step."""
    frames: Callable[[int], Frames] | None = None
    """Makes previews of whole pictures of which a part is dreamed, their longer side so long."""

    @property
    def value(self) -> float:
        """The objective, averaged over the pictures; on a GPU, asking waits for it."""
        return float(self.values.mean())

    def preview(self, longest: int = 512) -> np.ndarray[Any, Any]:
        """The first picture as it is now, (H, W, 3) uint8, its longer side at most `longest` px."""
        if self.frames is not None:
            return self.frames(longest).show(self)
        picture = self.picture[:1]
        if max(self.size) > longest:
            picture = resize(picture, fit(self.size, longest))
        return levels(picture)


OnStep = Callable[[Step], None]


def dream(
    image: Any,
    recipe: Recipe | None = None,
    *,
    mask: Any = None,
    guide: Any = None,
    regions: Sequence[Region] = (),
    device: str | torch.device = "auto",
    memory: int | None = None,
    on_step: OnStep | None = None,
    on_tile: Callable[[], None] | None = None,
) -> Any:
    """Dream on a picture.

    Args:
        image: a PIL image, a numpy array (H, W, 3) or a tensor (N, 3, H, W), see `reverie.image`;
            left unchanged. The pictures of a batch are dreamed side by side, none sees another.
            None, with a recipe that starts from nothing: a square of the recipe's size, or 512 px.
        recipe: what to do; by default the classic dream with the embedded network.
        mask: where to dream, 0..1, (H, W) or (N, H, W) or a PIL image; where it is 0, the picture
            stays bit for bit, in float32.
        guide: the picture that an objective such as guide(eyes) looks at, of any kind and size that
            `image` may have; the first of a batch. A layer alone then means guide(layer).
        regions: pairs of a mask, as above, and an objective that is climbed there in place of the
            recipe's own: a text as in recipes, or what `reverie.objectives` makes. Soft masks
            blend; see engine/regions.py.
        device: "auto", "cpu", "cuda", "mps", ...; a tensor on a GPU is dreamed on there.
        memory: bytes to work in, beside the network, `image` and what is returned. It decides
            how large a part of a picture is seen at once, always in the same way, and on a CPU a
            picture too large for it is kept in a temporary file. None: 4 megapixels at once.
        on_step: called after every step; raise `Cancelled` from it to end the dream.
        on_tile: called before each part of a picture that is seen at once, of which a step on a
            large one has many; raise `Cancelled` from it, too.
    Returns:
        The dream, of the kind and dtype of `image`, at its size or the recipe's; without an image,
        a PIL image.
    Raises:
        RecipeError: `recipe` is something else, or needs a picture and there is none.
        ImageError: `image`, `mask` or `guide` is not a picture, is empty, or holds NaN.
        ObjectiveError: the objective needs a guide and there is none, or the other way round.
        ReverieError: network, layer, objective, device or memory is not to be had.
        Cancelled: `on_step` or `on_tile` raised it; its `image` is the dream so far.
    Source: Mordvintsev, Olah, Tyka 2015, github.com/google/deepdream, dream.ipynb.
    """
    recipe = Recipe() if recipe is None else recipe
    if not isinstance(recipe, Recipe):
        raise RecipeError(
            f"recipe: {recipe!r:.60} is not a recipe; give reverie.Recipe(...), or a preset's: "
            'reverie.registry().presets()["classic"].recipe'
        )
    others = recipes_of(recipe, regions)
    recipe = guided(recipe) if guide is not None and not look_at_guide(others) else recipe
    with own_grad_mode():
        pixels, restore = to_tensor(blank(recipe) if image is None else image, memory)
        if device != "auto" or pixels.device.type == "cpu":
            pixels = pixels.to(choose_device(device))
        size = fit((pixels.shape[2], pixels.shape[3]), recipe.size)
        pixels = resize(pixels, size, wraps=wraps_of(recipe.edges))
        seen = None if guide is None else to_tensor(guide)[0][:1].clamp(0, 1)
        exact = ExactArithmetic(pixels.device)
        on_tile = None if on_tile is None else exact.outside(on_tile)
        load_network(recipe.network)  # now, because it can take long
        with exact:
            climbs = _prepare_all([recipe, *others], pixels, memory, seen, on_tile)
        climb = together(climbs)
        where = None if mask is None else to_mask(mask, pixels)
        area = select(pixels, where, climb.margin, climb.stride)
        climb = _merge(climbs, regions, area, climb)
        is_original = image is not None
        step, base = None, start(recipe, area.pixels, area.mask, is_original=is_original)
        try:
            given = None if recipe.start == "picture" or image is None else area.pixels
            steps = _ascend(base, area.mask, climb, given) if base.numel() else ()
            frames = None if where is None else _frames(area, climb)
            for step in exact.each(steps):
                if on_step is not None:
                    on_step(replace(step, frames=frames))
            result = pixels if step is None else area.lay_in(step.result())
        except Cancelled as cancelled:
            if step is not None:
                cancelled.image = restore(area.lay_in(step.result()))
                cancelled.done = step.done
            raise
        except (RuntimeError, MemoryError) as error:
            if not says_out_of_memory(error):
                raise
            raise ReverieError(
                f"{pixels.device} has not enough memory for a picture of {pixels.shape[3]} x "
                f"{pixels.shape[2]} px; set a smaller size, or choose another device."
            ) from error
        if _is_unchanged(result, pixels if recipe.start == "picture" else area.lay_in(base)):
            _log.warning("%s", _why_unchanged(recipe, mask))
        return restore(result)


def _prepare_all(
    recipes: Sequence[Recipe],
    pixels: Tensor,
    memory: int | None,
    guide: Tensor | None,
    on_tile: Callable[[], None] | None,
) -> list[Climb]:
    """Prepare the recipe, and what it becomes in each region; they take turns in the memory."""
    beside = kept_by_regions(len(recipes) - 1, pixels.shape, in_file=lives_in_file(pixels))
    return [_prepare(each, pixels, memory, guide, on_tile, beside=beside) for each in recipes]


def _prepare(
    recipe: Recipe,
    pixels: Tensor,
    memory: int | None,
    guide: Tensor | None,
    on_tile: Callable[[], None] | None,
    *,
    beside: int = 0,
) -> Climb:
    """Share the memory out between the pictures, unless they live in files, and the gradient."""
    in_file = lives_in_file(pixels)
    space = find("parameterization", registry().parameterizations(), recipe.parameterization)
    kept = beside + kept_by(recipe, space, pixels.shape, in_file=in_file)
    rest = memory and max(0, memory - kept)
    climb = prepare(recipe, pixels.device, rest, guide, on_tile)
    climb.refuse_without_guide()
    if memory is None:
        return climb
    needed = climb.least_memory(pixels.shape, in_file=in_file) + beside
    if memory < needed:
        raise ReverieError(
            f"memory: {megabytes(memory)} is too little for this picture and recipe; "
            f"the smallest that can work is {megabytes(needed)}."
        )
    return climb


def _merge(climbs: Sequence[Climb], regions: Sequence[Region], area: Area, climb: Climb) -> Climb:
    """Merge the gradients of regions on the part of a picture that is dreamed, guides and all."""
    for each in climbs:
        each.lay_target_over(area.whole, area.rows, area.columns)
    if not regions or not area.pixels.numel():
        return climb
    weights = [
        _cover(weight[:, :, area.rows, area.columns], climb.smallest_side, climb.wraps)[0]
        for weight in weights_of(regions, area.whole)
    ]
    look = Looks(climbs) if any(each.look for each in climbs) else None
    return replace(climb, gradient=merged(climbs, weights), look=look)


def megabytes(size: int) -> str:
    """Write bytes down as people allow them, rounded up.

    >>> megabytes(1_200_000_001)
    '1201M'
    """
    return f"{-(-size // 10**6)}M"


def _frames(area: Area, climb: Climb) -> Callable[[int], Frames]:
    """Say how to show the whole picture while an area of it is dreamed."""
    height, width = area.whole.shape[2:]

    @cache
    def frames(longest: int) -> Frames:
        return Frames(area, (slice(0, height), slice(0, width)), longest, climb.smallest_side)

    return frames


def _is_unchanged(result: Tensor, pixels: Tensor) -> bool:
    return all(
        torch.equal(result[:, :, rows], pixels[:, :, rows]) for rows in bands(result, pixels)
    )


def _why_unchanged(recipe: Recipe, mask: Any) -> str:
    if mask is not None:
        return "nothing changed: the mask is 0 wherever the objective could climb."
    return (
        f"nothing changed: on this picture the objective {recipe.objective!r} has no gradient; "
        "a silent channel wakes up when its layer is named before the ReLU."
    )


def _ascend(
    base: Tensor, mask: Tensor | None, climb: Climb, given: Tensor | None = None
) -> Iterator[Step]:
    """DeepDream itself.

    Args:
        base: where it begins, (N, 3, H, W) float32 in 0..1; left unchanged.
        mask: (N or 1, 1, H, W) in 0..1, multiplied into every step; None is 1 everywhere.
        given: the pictures whose colours are held, and with which objectives compare, where the
            dream starts from something else.
    """
    recipe, wraps = climb.recipe, climb.wraps
    given = None if given is None else _cover(given, climb.smallest_side, wraps)[0]
    base, uncover = _cover(base, climb.smallest_side, wraps)
    full = (base.shape[2], base.shape[3])
    sizes = octave_sizes(full, recipe.octaves, recipe.octave_scale, climb.smallest_side)
    sizes = climb.decodable(sizes)
    carry = recipe.carry if climb.space.is_exact else "picture"
    work = recipe.steps * sum(height * width for height, width in sizes)
    done = 0
    jitter = Jitter(recipe.jitter, recipe.seed)
    mask = None if mask is None else _cover(mask, climb.smallest_side, wraps)[0]
    tones = Tones(recipe, base if given is None else given)
    picture = before = base  # the first octave has neither
    beside: tuple[Reference, ...] = ()

    for octave, size in enumerate(sizes, start=1):
        original = resize(base, size, wraps=wraps)
        if octave == 1:
            picture = copied(original)
        elif carry == "detail":
            picture = _lay_on(original, _subtract(picture, before), wraps)
        else:
            picture = _enlarge(picture, original, mask, wraps)
        before = original
        where = None if mask is None else resize(mask, size, wraps=wraps)
        undreamed = original if given is None else resize(given, size, wraps=wraps)
        tones.begin(undreamed, where)
        walk = Walk(climb.space, picture, where, optimizer=recipe.optimizer, clip=recipe.clip)
        picture = walk.picture
        beside = climb.beside(picture, undreamed, *beside)

        for step in range(1, recipe.steps + 1):
            values, gradient = climb.gradient(picture, jitter.shift(), *beside)
            after = AfterStep(climb.corrections, step, gradient, where, wraps)
            gradient = _shaped(tones.along(gradient), recipe, step)
            length = recipe.step_size / GREY_LEVELS
            pace = length / magnitude(gradient, recipe.normalization)
            walk.step(gradient, pace, length)
            picture = walk.keep(after.correct, tones.hold)
            del gradient  # it is as large as the picture, and `result` may need room

            def result(picture: Tensor = picture, original: Tensor = original) -> Tensor:
                full = copied(picture)
                if original.shape != base.shape and carry == "detail":
                    full = _lay_on(base, _subtract(full, original), wraps)
                elif original.shape != base.shape:
                    full = _enlarge(full, base, mask, wraps)
                for rows in bands(full):
                    full[:, :, rows].clamp_(0, 1)
                return uncover(full)

            done += size[0] * size[1]
            yield Step(
                octave=octave,
                octaves=len(sizes),
                step=step,
                steps=recipe.steps,
                done=done / work,
                size=size,
                values=values,
                picture=picture,
                result=result,
            )
        _check(picture, octave)


def _shaped(gradient: Tensor, recipe: Recipe, step: int) -> Tensor:
    """Blur a gradient, which is written over, and even out its bands, as the recipe says."""
    wraps = wraps_of(recipe.edges)
    if recipe.smoothing:
        sigma = smoothing_sigma(recipe.smoothing, step, recipe.steps)
        gradient = around(partial(smooth, sigma=sigma), gradient, smoothing_reach(sigma), wraps)
    if recipe.laplacian:
        even = partial(lapnorm, levels=recipe.laplacian)
        gradient = around(even, gradient, lapnorm_reach(recipe.laplacian), wraps)
    return gradient


def _subtract(picture: Tensor, original: Tensor) -> Tensor:
    """Leave of a picture what was dreamed on its original, in place."""
    for rows in bands(picture, original):
        picture[:, :, rows] -= original[:, :, rows]
    return picture


def _lay_on(original: Tensor, detail: Tensor, wraps: Wraps) -> Tensor:
    """Bring detail, which is given up, to the size of another original, and add that."""
    picture = resize(detail, (original.shape[2], original.shape[3]), like=original, wraps=wraps)
    for rows in bands(picture, original):
        picture[:, :, rows] += original[:, :, rows]
    return picture


def _enlarge(picture: Tensor, original: Tensor, mask: Tensor | None, wraps: Wraps) -> Tensor:
    """Bring a picture to the size of another original, which stays where the mask is 0."""
    size = (original.shape[2], original.shape[3])
    picture = resize(picture, size, like=original, wraps=wraps)
    if mask is None:
        return picture
    where = resize(mask, size, wraps=wraps)
    for rows in bands(picture, original, where):
        part = picture[:, :, rows]
        torch.lerp(original[:, :, rows], part, where[:, :, rows], out=part)
    return picture


def _cover(image: Tensor, smallest: int, wraps: Wraps) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Repeat the edges of a picture too small for the network, and say how to cut them off.

    Where edges meet, the network sees more of it anyway.
    """
    height, width = image.shape[2:]
    right = 0 if wraps.across else max(0, smallest - width)
    below = 0 if wraps.down else max(0, smallest - height)
    missing = (0, right, 0, below)
    if not any(missing):
        return image, lambda covered: covered
    covered = functional.pad(image, missing, mode="replicate")
    return covered, lambda covered: covered[:, :, :height, :width]


def _check(picture: Tensor, octave: int) -> None:
    """Once an octave, because on a GPU asking waits."""
    # A sum is finite only if every number is; it makes no copy and waits once.
    sums = [picture[:, :, rows].sum() for rows in bands(picture)]
    if not torch.isfinite(torch.stack(sums)).all():
        raise ReverieError(
            f"the dream ran out of the range of numbers in octave {octave}; "
            "use precision float32 or a smaller step size."
        )
