"""How a picture moves between two frames, exactly the same however many frames a second has.

A camera that zooms, turns and shifts at constant rates moves a point p, seen from the picture's
centre as a complex number, by dp/dt = a p + v with a = ln(zoom) + i * rotation. After t seconds it
is at exp(a t) p + v (exp(a t) - 1) / a: moving for s and then for t is moving for s + t.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Move:
    """A similarity of the plane: p goes to turn * p + shift; right and down are positive."""

    turn: complex
    shift: complex

    def then(self, other: Move) -> Move:
        """Give this move followed by another."""
        return Move(other.turn * self.turn, other.turn * self.shift + other.shift)

    def back(self) -> Move:
        """Give the move that undoes this one."""
        return Move(1 / self.turn, -self.shift / self.turn)

    @property
    def is_rest(self) -> bool:
        """Nothing moves."""
        return self.turn == 1 and self.shift == 0


@dataclass(frozen=True, kw_only=True)
class Motion:
    """A camera that moves at constant rates."""

    zoom: float = 1.0
    """By how much a second enlarges."""
    rotation: float = 0.0
    """Degrees a second, clockwise."""
    shift_x: float = 0.0
    """px a second, to the right."""
    shift_y: float = 0.0
    """px a second, downwards."""

    def after(self, seconds: float) -> Move:
        """Give the move from time 0 to a time."""
        rate = complex(math.log(self.zoom), math.radians(self.rotation))
        speed = complex(self.shift_x, self.shift_y)
        turn = cmath.exp(rate * seconds)
        grown = _expm1(rate * seconds)
        return Move(turn, speed * (grown / rate if rate else seconds))

    def between(self, first: float, second: float) -> Move:
        """Give the move from a time to another."""
        return self.after(second - first)


def _expm1(z: complex) -> complex:
    """Give exp(z) - 1 without loss where z is small."""
    half = math.sin(z.imag / 2)
    real = math.expm1(z.real) * math.cos(z.imag) - 2 * half * half
    return complex(real, math.exp(z.real) * math.sin(z.imag))


def warp(picture: Tensor, move: Move) -> Tensor:
    """Move pictures about their centre; what comes in from outside is mirrored at the edges.

    Args:
        picture: (N, C, H, W) float32 in 0..1; left unchanged.
        move: in px.
    Returns:
        Pictures of the same size, sampled bicubically, in 0..1.
    """
    import torch
    from torch.nn.functional import grid_sample

    if move.is_rest:
        return picture.clone()
    height, width = picture.shape[2:]
    back = move.back()
    # In double: a zoom of hundreds of frames must not drift.
    y = torch.arange(height, dtype=torch.float64)[:, None] + 0.5 - height / 2
    x = torch.arange(width, dtype=torch.float64)[None] + 0.5 - width / 2
    from_x = back.turn.real * x - back.turn.imag * y + back.shift.real
    from_y = back.turn.imag * x + back.turn.real * y + back.shift.imag
    grid = torch.stack([from_x * 2 / width, from_y * 2 / height], dim=2)
    moved = grid_sample(
        picture,
        grid.to(picture.device, torch.float32)[None].expand(len(picture), -1, -1, -1),
        mode="bicubic",
        padding_mode="reflection",
        align_corners=False,
    )
    return moved.clamp(0, 1)
