"""Where a dream begins: the picture, noise, plain grey, or a picture of the seed's own making.

From nothing, an objective shows what it is without a picture's help. Source: Lewis 1988, Creation
by Refinement: A Creativity Paradigm for Gradient Descent Learning Networks (ICNN), which begins
from random patterns and lets a trained network's gradient refine them.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import torch

from reverie.engine.canvas import bands, empty, hand_back
from reverie.engine.colour import colour_of
from reverie.engine.frames import GREY_LEVELS
from reverie.engine.parameterization.colour import to_colour
from reverie.engine.wrapping import wraps_of
from reverie.errors import RecipeError
from reverie.objectives.regularizers import GREY

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from reverie.recipe import Recipe

SIDE = 512
"""px of the square that is dreamed without a picture, unless the recipe has a size."""
BEGUN = 2
"""Pictures more that are kept: what was given beside the start, at full size and an octave's."""
_SALT = 0x5EED_0F_57A27
"""Keeps these random numbers apart from the shifts of the same seed."""
_ROWS = 64
"""Rows of random numbers that are drawn at once, the same everywhere: bytes depend on it."""
_CELLS = 3.5
"""Cells of the coarsest noise along the longer side."""
_NOISES = 9
"""Most noises that are summed up: the next would be 250 times as faint as the first."""
_GAIN = 0.55
"""How much fainter each noise is than the one twice as coarse."""
_CONTRAST = 1.1
"""Of the coarsest noise, in standard deviations of natural colours."""


def blank(recipe: Recipe) -> Image.Image:
    """Give a picture of nothing for a recipe that starts without one: its size, in mid grey.

    Raises:
        RecipeError: the recipe starts from a picture.
    """
    if recipe.start == "picture":
        raise RecipeError(
            "start: 'picture' needs a picture; give one, or start with noise, grey or procedural."
        )
    from PIL import Image

    side = recipe.size or SIDE
    return Image.new("RGB", (side, side), (round(GREY * GREY_LEVELS),) * 3)


def start(
    recipe: Recipe, pixels: Tensor, mask: Tensor | None, *, is_original: bool = False
) -> Tensor:
    """Give the pictures that a dream begins with.

    Args:
        recipe: its `start`, `noise` and `seed` decide. The pictures of a batch begin differently,
            the first as it would alone.
        pixels: the pictures that were given, (N, 3, H, W) in 0..1; left unchanged.
        mask: (N or 1, 1, H, W) in 0..1: how much of the given pictures the beginning replaces;
            where it is 0, they stay bit for bit. None is 1 everywhere.
        is_original: they are a picture, whose colours `Recipe.colour` holds from the beginning.
    Returns:
        `pixels` themselves, or others of their shape, in a file where those are.
    """
    if recipe.start == "picture" or not pixels.numel():
        return pixels
    generator = torch.Generator(device="cpu").manual_seed(recipe.seed ^ _SALT)
    begun = empty(pixels.shape, like=pixels)
    for number in range(len(begun)):
        picture = begun[number : number + 1]
        if recipe.start == "procedural":
            _paint(picture, recipe, number)
        else:
            deviation = recipe.noise / GREY_LEVELS if recipe.start == "noise" else 0.0
            _sprinkle(picture, deviation, generator)
    colour = colour_of(recipe.colour, pixels) if is_original else None
    if colour is not None:
        colour.hold(begun, pixels, clip=True)
    if mask is None:
        return begun
    for rows in bands(begun, pixels, mask):
        part = begun[:, :, rows]
        torch.lerp(pixels[:, :, rows], part, mask[:, :, rows], out=part)
    return begun


def _sprinkle(picture: Tensor, deviation: float, generator: torch.Generator) -> None:
    """Fill a picture with grey, and normal noise of this deviation in each pixel and colour."""
    height, width = picture.shape[2:]
    for top in range(0, height, _ROWS):
        shape = (1, 3, min(_ROWS, height - top), width)
        values = torch.full(shape, GREY, device="cpu", dtype=torch.float32)
        if deviation:
            drawn = torch.randn(shape, generator=generator, device="cpu", dtype=torch.float32)
            values = values.add_(drawn, alpha=deviation).clamp_(0, 1)
        picture[:, :, top : top + _ROWS] = values
        hand_back(picture)


def _paint(picture: Tensor, recipe: Recipe, number: int) -> None:
    """Paint clouds of colour: noises of ever finer cells, each fainter, in natural colours.

    In each colour coordinate c (see parameterization/colour.py) sum_k g^k n_k, where n_k are normal
    numbers at the corners of square cells, half as wide for each k, down to 2 px, and between them
    faded by 6 t^5 - 15 t^4 + 10 t^3. The same seed at another size is the same picture with more or
    less detail: each noise has random numbers of its own, for a square over the longer side. Where
    edges meet, a whole number of cells goes around. Sources: value noise and fractal sums, Perlin
    1985, An Image Synthesizer; the fade, Perlin 2002, Improving Noise.
    """
    height, width = picture.shape[2:]
    side, wraps = max(height, width), wraps_of(recipe.edges)
    seen = max(1, math.floor(math.log2(max(2.0, side / _CELLS / 2))) + 1)
    noises = []
    for noise in range(min(seen, _NOISES)):
        cell = side / _CELLS / 2**noise
        count = math.ceil(_CELLS * 2**noise) + 2
        values = _corners((count, count), _generator(recipe.seed, number, noise))
        noises.append((cell, (values * (_CONTRAST * _GAIN**noise)).to(picture.device)))
    for rows in bands(picture):
        total = picture.new_zeros((1, 3, rows.stop - rows.start, width))
        for cell, values in noises:
            (top, bottom), down = _between(rows, height, cell, picture.device, wrapped=wraps.down)
            (left, right), across = _between(
                slice(0, width), width, cell, picture.device, wrapped=wraps.across
            )
            band = values[:, top].lerp(values[:, bottom], down[:, None])
            total += band[:, :, left].lerp(band[:, :, right], across)
        picture[:, :, rows] = to_colour(total).clamp_(0, 1)


def _corners(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Draw normal numbers (3, rows, columns)."""
    return torch.randn((3, *size), generator=generator, device="cpu", dtype=torch.float32)


def _between(
    span: slice, length: int, cell: float, device: torch.device, *, wrapped: bool
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Give the corners before and after each pixel of a span, and how far it is faded, 0..1."""
    around = max(1, round(length / cell))
    cell = length / around if wrapped else cell
    place = (torch.arange(span.start, span.stop, dtype=torch.float64, device="cpu") + 0.5) / cell
    corner = place.floor()
    t = place - corner
    fade = t**3 * (t * (6 * t - 15) + 10)
    before = corner.long().to(device)
    after = before + 1
    if wrapped:
        before, after = before % around, after % around
    return (before, after), fade.float().to(device)


def _generator(seed: int, number: int, noise: int) -> torch.Generator:
    """Make a generator for one noise of one picture of a batch."""
    digest = hashlib.sha256(f"{seed} {number} {noise}".encode()).digest()
    return torch.Generator(device="cpu").manual_seed(int.from_bytes(digest[:8], "big"))
