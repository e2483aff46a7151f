"""Walk: how a picture takes its steps through one octave, in whatever space it climbs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.autograd.functional import jvp, vjp

from reverie.engine.adam import MOMENTS, Adam
from reverie.engine.canvas import bands, taken_by
from reverie.engine.gradient import magnitude
from reverie.engine.parameterization.pixels import PIXELS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reverie.types import Parameterization

_COPIES = 32
"""Pictures' worth of ordinary memory that a step in another space than pixels takes at its peak.

Measured at a megapixel with a mask: Fourier 26, phase and MACO with Adam 29 to 31.
"""


class Walk:
    """One octave's ascent.

    A step goes to the latent through the decoder, J^T g, and from there to the picture again, to
    see how far it would move: J d for the direction d. The latent moves by d times the ratio of the
    length that the step should have to the length of that. For Adam, d is Adam's direction.

    Args:
        space: what latents mean.
        picture: (N, 3, H, W), where the octave begins; in pixels it is written over.
        mask: how much of the motion each pixel gets, (N or 1, 1, H, W); None is 1 everywhere.
        optimizer: "plain" or "adam", whose moments begin at 0.
        clip: keep the pictures in 0..1. Where a space decodes what was encoded, the latent is
            brought back, too.
    """

    def __init__(
        self,
        space: Parameterization,
        picture: Tensor,
        mask: Tensor | None = None,
        *,
        optimizer: str = "plain",
        clip: bool = True,
    ) -> None:
        self._space = space
        self._mask = mask
        self._clip = clip
        self._start = self.picture = self._whole = picture
        self._size = (picture.shape[2], picture.shape[3])
        self._latent = space.encode(picture)
        if not space.is_exact:
            self.picture = self._seen()
        self._adam = Adam(self._latent) if optimizer == "adam" else None

    def step(self, gradient: Tensor, pace: Tensor, length: float) -> Tensor:
        """Take one step up the gradient.

        Args:
            gradient: shaped like the picture; written over.
            pace: plain steps move each pixel by its gradient times this, (N, 1, 1, 1).
            length: Adam moves pixels by about this, on the scale 0..1; in other spaces by this
                on average.
        Returns:
            The pictures now, (N, 3, H, W).
        """
        if self._space is PIXELS:
            self._step_pixels(gradient, pace, length)
        else:
            self._step_latent(gradient, pace, length)
        return self.picture

    def _step_pixels(self, gradient: Tensor, pace: Tensor, length: float) -> None:
        picture, mask, adam = self.picture, self._mask, self._adam
        if adam is not None:
            adam.begin(magnitude(gradient, "mean").view(-1))
            pace = torch.full_like(pace, length)
        for rows in bands(picture, gradient, mask, *(adam.moments if adam else ())):
            part, motion = picture[:, :, rows], gradient[:, :, rows]
            if adam is not None:
                motion = adam.direction(motion, rows)
            part.addcmul_(motion, pace if mask is None else pace * mask[:, :, rows])
            if self._clip:
                part.clamp_(0, 1)

    def _step_latent(self, gradient: Tensor, pace: Tensor, length: float) -> None:
        mask, latent = self._mask, self._latent
        if mask is not None:  # a latent may reach everywhere: what is not dreamed has no say
            gradient = gradient.mul_(mask > 0)
        _, direction = vjp(self._decode, latent, gradient)  # type: ignore[no-untyped-call]
        if self._adam is None:
            wanted = _length(self._masked(gradient.mul_(pace)))
        else:
            self._adam.begin(direction.abs().flatten(1).mean(dim=1))
            direction = self._adam.direction(direction)
            wanted = _length(self._masked(torch.full_like(gradient, length)))
        _, moved = jvp(self._decode, latent, direction)  # type: ignore[no-untyped-call]
        ratio = wanted / _length(self._masked(moved)).clamp_min(torch.finfo(moved.dtype).tiny)
        del moved, gradient
        self._latent = latent + direction.mul_(ratio.view(-1, *[1] * (latent.ndim - 1)))
        self.picture = self._seen()

    def keep(self, *changes: Callable[[Tensor], bool]) -> Tensor:
        """Let others change the pictures after a step, and bring the latent along.

        Args:
            changes: each writes over (N, 3, H, W) and says whether it changed anything.
        Returns:
            The pictures now; in a space that does not hold every picture, what it holds of them.
        """
        changed = [change(self._whole) for change in changes]
        if any(changed) and self._space is not PIXELS:
            self._latent = self._space.encode(self._whole)
            self.picture = self._seen()
        return self.picture

    def _decode(self, latent: Tensor) -> Tensor:
        return self._space.decode(latent, self._size)

    def _masked(self, motion: Tensor) -> Tensor:
        return motion if self._mask is None else motion * self._mask

    def _seen(self) -> Tensor:
        """Decode the latent, and lay the picture under it where the mask is not 1."""
        picture = self._decode(self._latent)
        if self._clip and (picture.amin() < 0 or picture.amax() > 1):
            picture = picture.clamp(0, 1)
            if self._space.is_exact:
                self._latent = self._space.encode(picture)
        self._whole = picture  # what the latent holds: under a soft mask less of it is to be seen
        return picture if self._mask is None else torch.lerp(self._start, picture, self._mask)


def _length(motion: Tensor) -> Tensor:
    return motion.abs().mean(dim=(1, 2, 3))


def held(
    space: Parameterization, optimizer: str, shape: Sequence[int], *, in_file: bool = False
) -> int:
    """Give the bytes that a walk takes beside what `canvas.taken_by` counts anyway.

    Adam's moments of pixels live where the pictures do; other spaces work on whole pictures in
    ordinary memory.

    Args:
        space: as the recipe's.
        optimizer: as the recipe's.
        shape: of the pictures, (N, 3, H, W).
        in_file: the pictures live in files.
    """
    if space is not PIXELS:
        return taken_by(shape, copies=_COPIES)
    return taken_by(shape, in_file=in_file, copies=MOMENTS) if optimizer == "adam" else 0
