"""Composes scenes, which the network learns on: crops of photographs, motifs, collages."""

from __future__ import annotations

from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from reverie.training.motifs import Array, Random, motif, noise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reverie.training.ingredients import Ingredients

_things: Ingredients
"""What the worker processes compose from."""


def compose(ingredients: Ingredients, count: int, size: int, seed: int, processes: int) -> Array:
    """Make scenes, (count, size, size, 3) uint8; the same for the same seed, however many work."""
    # Forked: the ingredients, hundreds of MB, are shared and not copied.
    with get_context("fork").Pool(processes, _receive, (ingredients,)) as pool:
        made = pool.imap(partial(_scene, size=size, seed=seed), range(count), chunksize=16)
        return np.stack(list(made))


def _receive(ingredients: Ingredients) -> None:
    global _things  # noqa: PLW0603 - a worker process has one
    _things = ingredients


def _scene(number: int, size: int, seed: int) -> Array:
    picture = scene(_things, size, np.random.default_rng((seed, number)))
    return np.asarray(picture * 255 + 0.5).astype(np.uint8)


def scene(ingredients: Ingredients, size: int, random: Random) -> Array:
    """One scene, (size, size, 3) float32 in 0..1: 40 % photographs, 15 % motifs, 45 % collages."""
    kind = random.random()
    if kind < 0.40:
        return graded(crop(ingredients.photos, size, random), random)
    if kind < 0.55:
        return graded(motif(size, random), random)
    picture = _background(ingredients, size, random)
    for _ in range(int(random.integers(1, 6))):
        sprite = ingredients.sprites[random.integers(len(ingredients.sprites))]
        picture = _pasted(picture, sprite, random)
    return graded(picture, random)


def crop(photos: Sequence[Array], size: int, random: Random) -> Array:
    """A square of a photograph at some scale, perhaps mirrored, (size, size, 3) float32 in 0..1.

    Large photographs come more often, as the square root of their size.
    """
    weights = np.sqrt([photo.shape[0] * photo.shape[1] for photo in photos])
    photo = photos[random.choice(len(photos), p=weights / weights.sum())]
    height, width = photo.shape[:2]
    side = int(
        np.clip(size * np.exp(random.uniform(np.log(0.6), np.log(5))), 32, min(height, width))
    )
    top, left = random.integers(height - side + 1), random.integers(width - side + 1)
    cut = Image.fromarray(photo[top : top + side, left : left + side])
    picture = np.asarray(cut.resize((size, size), Image.Resampling.BICUBIC), np.float32) / 255
    return picture[:, ::-1] if random.random() < 0.5 else picture


def graded(picture: Array, random: Random) -> Array:
    """Other exposure, contrast and tint, and in one of five other colours altogether."""
    picture = np.clip(picture, 0, 1) ** random.uniform(0.7, 1.4)
    mean = picture.mean((0, 1))
    light = mean * random.uniform(0.8, 1.2) + random.uniform(-0.1, 0.1) + random.normal(0, 0.04, 3)
    picture = (picture - mean) * random.uniform(0.6, 1.3) + light
    if random.random() < 0.2:
        picture = picture[..., random.permutation(3)]
    return np.clip(picture, 0, 1).astype(np.float32)


def _background(ingredients: Ingredients, size: int, random: Random) -> Array:
    kind = random.random()
    if kind < 0.55:
        return graded(crop(ingredients.photos, size, random), random)
    drawn = motif(size, random)
    return drawn if kind < 0.8 else 0.5 * drawn + 0.5 * crop(ingredients.photos, size, random)


def _pasted(picture: Array, sprite: Array, random: Random) -> Array:
    """Lay a sprite somewhere: turned, lit and grained like a photograph, perhaps over the edge."""
    size = len(picture)
    image = Image.fromarray(sprite)
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    angle = random.uniform(-35, 35) if random.random() < 0.8 else random.uniform(0, 360)
    image = image.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    side = max(12, int(size * random.uniform(0.25, 1.1)))
    image = image.resize(
        (max(8, int(side * random.uniform(0.8, 1.2))), side), Image.Resampling.BICUBIC
    )
    layer = np.asarray(image, np.float32) / 255
    height, width = layer.shape[:2]
    top = int(random.uniform(-height / 4, size - height * 3 / 4))
    left = int(random.uniform(-width / 4, size - width * 3 / 4))
    rows, columns = slice(max(top, 0), top + height), slice(max(left, 0), left + width)
    under = picture[rows, columns]
    layer = layer[rows.start - top :, columns.start - left :][: under.shape[0], : under.shape[1]]
    longest = max(layer.shape[:2])
    light = (
        1
        + 0.3 * noise(longest, random, 2.2)
        + random.uniform(0, 0.25) * noise(longest, random, 0.8)
    )
    lit = layer[..., :3] * np.clip(light, 0.2, 1.7)[: layer.shape[0], : layer.shape[1], None]
    lit = np.clip(lit * (1 + random.normal(0, 0.08, 3)), 0, 1)
    picture = picture.copy()
    picture[rows, columns] = under + (lit - under) * layer[..., 3:]
    return picture
