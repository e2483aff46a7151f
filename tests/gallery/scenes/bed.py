"""A garden bed seen from above: moss, on which stones and blades are laid one by one.

It is a height field whose parts carry colour and gloss; what is laid where is the scene's.
"""

from __future__ import annotations

import numpy as np

from .arrays import Array, blur, sample, step
from .light import mix, rgb
from .noise import Rng, noise


class Bed:
    """A bed of things seen from above: height in px, colour and gloss of the topmost of them."""

    def __init__(self, rng: Rng, size: tuple[int, int]) -> None:
        self.rng = rng
        moss = noise(rng, (2304, 2304), 1.15, 24)[: size[0], : size[1]]
        patch = noise(rng, (2304, 2304), 1.8, 3)[: size[0], : size[1]]
        self.height = np.asarray(moss * 4 + patch * 6, np.float32)
        self.colour = mix(
            rgb(0.05, 0.075, 0.016) + 0 * moss[..., None],
            rgb(0.17, 0.21, 0.035),
            step(-1, 2, moss + patch),
        )
        self.gloss = np.zeros(size, np.float32)
        self.skin = noise(rng, (512, 512), 1.15, 3)

    def lay(
        self,
        centre: tuple[float, float],
        axes: tuple[float, float, float],
        turn: float,
        tint: Array,
        leaf: float = 0.0,
        lift: float | None = None,
    ) -> None:
        """Drop one stone, or a blade if `leaf` > 0; axes are half length, half width, height."""
        reach = int(max(axes[:2]) * 1.2) + 2
        top, left = int(centre[0]) - reach, int(centre[1]) - reach
        rows = slice(max(top, 0), min(top + 2 * reach, self.height.shape[0]))
        columns = slice(max(left, 0), min(left + 2 * reach, self.height.shape[1]))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        y, x = np.mgrid[rows, columns].astype(np.float32)
        y, x = y - centre[0], x - centre[1]
        u = (x * np.cos(turn) + y * np.sin(turn)) / axes[0]
        v = (y * np.cos(turn) - x * np.sin(turn)) / axes[1]
        seat = self.rng.uniform(0, 512, 2)
        skin = sample(self.skin, y * 0.9 + seat[0], x * 0.9 + seat[1])
        lump = sample(self.skin, v * 5 + seat[1], u * 5 + seat[0])
        around = (
            np.abs(u) ** 2.4 + np.abs(v) ** 2.4 * (1 + leaf * 3 * u * u) + 0.06 * lump * (leaf == 0)
        )
        dome = np.sqrt(np.clip(1 - around, 0, None))
        view = self.height[rows, columns]
        inside = around < 1
        if lift is None:
            lift = float(np.quantile(view[inside], 0.6)) * 0.94 if inside.any() else 0.0
        level = lift + axes[2] * dome + 0.35 * skin
        if leaf:
            level = (
                lift
                + axes[2] * (dome * 0.5 + 0.5 * np.abs(v) + 0.3 * u)
                + 0.5 * np.sin(14 * (u - np.abs(v)))
            )
        seen = inside & (level > view)
        band = np.sin(6 * v + 1.5 * lump + seat[0]) * (self.rng.random() < 0.3)
        vein = np.exp(-(((v - 0.2 * lump) / 0.05) ** 2)) * (self.rng.random() < 0.25 or leaf > 0)
        paint = tint * (1 + 0.2 * skin + 0.16 * band + 0.1 * lump)[..., None] + 0.12 * vein[
            ..., None
        ] * (tint + 0.1)
        view[seen] = level[seen]
        self.colour[rows, columns][seen] = paint[seen].clip(0.004)
        self.gloss[rows, columns][seen] = 0.5 if leaf else 1.0

    def look(self) -> Array:
        """Light of the bed under a low sun from the upper left, with cast shadows."""
        down, across = np.gradient(self.height)
        length = np.sqrt(down**2 + across**2 + 1)
        sun = np.array((0.62, -0.45, -0.64))
        facing = ((sun[0] - sun[1] * down - sun[2] * across) / length).clip(0)
        lit = np.ones_like(self.height)
        for k in range(1, 46):
            shift = (round(-sun[1] * k * 1.6), round(-sun[2] * k * 1.6))
            over = np.roll(self.height, shift, (0, 1)) - self.height - sun[0] * k * 1.6
            np.minimum(lit, step(1.5, -0.5, over), out=lit)
        hollow = np.ones_like(self.height)
        for r in (4.0, 12.0, 30.0):
            hollow *= np.exp(-0.6 * ((blur(self.height, r) - self.height) / r).clip(0))
        shine = ((1.8 * facing / length - 0.9 * sun[0] + 0.12).clip(0) ** 18) * self.gloss * lit
        glow = (facing * lit)[..., None] * rgb(1.75, 1.5, 1.15)
        glow = glow + (hollow / length**0.5)[..., None] * rgb(0.26, 0.32, 0.4)
        return np.asarray(self.colour * glow + shine[..., None] * 0.3, np.float32)
