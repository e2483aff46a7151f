"""Dreams on images one after another, so that memory does not grow with the batch."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reverie_comfyui import images, memory, program
from reverie_comfyui.progress import Progress
from reverie_comfyui.regions import look_at_guide, regions_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, device

    from reverie.recipe import Recipe
    from reverie.record import Record
    from reverie_comfyui.regions import Regions


@dataclass(frozen=True)
class Dreamer:
    """A recipe, ready to be dreamed in a node that runs."""

    recipe: Recipe
    where: device
    progress: Progress
    mask: Tensor | None
    """(N, h, w) of any size: where to dream; None: everywhere."""
    guide: Tensor | None
    """(N, h, w, C) of any size: what the objective looks at as well."""
    regions: Regions
    """Other objectives in other places."""

    def dream(self, image: Tensor, index: int, **changes: Any) -> Tensor:
        """Dream on one image, and report it.

        Args:
            image: (1, H, W, C), left unchanged.
            index: which of a batch it is; masks, guides and regions, if fewer, are used in turn.
            changes: of the recipe's settings, by name.
        Returns:
            The dream in the same form, float32 in 0..1.
        Raises:
            ReverieError: with a sentence for the user.
        """
        from reverie.engine.dream import dream

        pixels = images.to_image(image)
        recipe = self.recipe.evolve(**changes) if changes else self.recipe
        guide = None
        if self.guide is not None:
            number = index % len(self.guide)
            guide = images.to_image(self.guide[number : number + 1])

        def once() -> Tensor:
            result: Tensor = dream(
                pixels,
                recipe,
                mask=images.mask_for(self.mask, index),
                guide=guide,
                regions=regions_for(self.regions, index),
                device=self.where,
                on_step=self.progress.on_step,
                on_tile=self.progress.on_tile,
            )
            return result

        dreamed = images.from_image(memory.with_all_room(once, self.where), image)
        self.progress.picture_done(dreamed[0])
        return dreamed

    def record(self) -> Record:
        """Give the recipe with nothing left open, and what was used with it."""
        from reverie.engine.prepare import resolve
        from reverie.engine.regions import recipes_of
        from reverie.record import Record

        return Record(
            resolve(self.recipe, self.where),
            is_masked=self.mask is not None,
            is_guided=self.guide is not None,
            regions=tuple(
                resolve(each, self.where).objective
                for each in recipes_of(self.recipe, self.regions)
            ),
        )


@contextmanager
def dreamer(
    image: Tensor,
    recipe: Recipe,
    *,
    pictures: int,
    mask: Tensor | None = None,
    guide: Tensor | None = None,
    regions: Regions = (),
) -> Iterator[Dreamer]:
    """Get network, room and device for dreams on images, and give working memory back afterwards.

    Args:
        image: the batch, (B, H, W, C).
        recipe: what to do.
        pictures: how many will be dreamed, for the bar.
        mask: where to dream.
        guide: what a guided objective looks at.
        regions: other objectives in other places.
    Raises:
        ReverieError: with a sentence for the user.
    """
    from reverie.engine.guiding import guided
    from reverie.engine.octaves import fit
    from reverie.networks.loading import load_network

    images.check(image)
    progress = Progress(pictures)
    load_network(recipe.network, on_progress=progress.on_bytes)  # it may have to be downloaded
    if guide is not None:
        images.check(guide)
        recipe = recipe if look_at_guide(recipe, regions) else guided(recipe)
    height, width = fit((image.shape[1], image.shape[2]), recipe.size)
    where = memory.make_room(height * width)
    try:
        yield Dreamer(recipe, where, progress, mask, guide, regions)
    finally:
        memory.hand_back()


def dream_batch(
    image: Tensor,
    recipe: Recipe,
    *,
    mask: Tensor | None = None,
    guide: Tensor | None = None,
    regions: Regions = (),
) -> tuple[Tensor, Record]:
    """Dream on every image of a batch.

    Args:
        image: (B, H, W, C), left unchanged.
        recipe: what to do.
        mask: where to dream, (N, h, w) of any size; None: everywhere.
        guide: what a guided objective looks at, (N, h, w, C).
        regions: other objectives in other places.
    Returns:
        The dreams, float32 in 0..1 on ComfyUI's intermediate device; and their record.
    Raises:
        ReverieError: with a sentence for the user.
    """
    with dreamer(
        image, recipe, pictures=len(image), mask=mask, guide=guide, regions=regions
    ) as one:
        made = Film(len(image))
        for index in range(len(image)):
            made.add(one.dream(image[index : index + 1], index))
        return made.images(), one.record()


class Film:
    """Images of one size, gathered in the one tensor that a node gives.

    Args:
        count: how many there will be.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._images: Tensor | None = None
        self._filled = 0

    def add(self, image: Tensor) -> None:
        """Take the next one, (1, H, W, C)."""
        import torch

        if self._images is None:
            where = program.model_management().intermediate_device()
            shape = (self._count, *image.shape[1:])
            self._images = torch.empty(shape, dtype=torch.float32, device=where)
        self._images[self._filled] = image[0]
        self._filled += 1

    def images(self) -> Tensor:
        """Give them all, (count, H, W, C)."""
        if self._images is None or self._filled < self._count:
            raise AssertionError(f"{self._filled} of {self._count} images were added")
        return self._images
