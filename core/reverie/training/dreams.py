"""A pool of pictures that teacher and student dream on in turn while the student learns on them.

What a student never saw it gets wrong, and a dream goes straight there: into moire and dots that
excite the student and leave the teacher cold. So it learns on its own dreams, and on the teacher's,
which show it the creatures that photographs alone would show too rarely.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from reverie.networks.embedded import FEATURES
from reverie.training.teacher import INSET, SEEN, STUDENT, limits, normalise, pixels

if TYPE_CHECKING:
    from reverie.training.motifs import Array, Random

_LAYERS = {"rings": 0.1, "eyes": 0.2, "gazes": 0.25, "creatures": 0.25, "things": 0.2}
"""How often the pool dreams each layer."""
_SHARES = (1.0, 0.1, 0.01)
"""Of a layer's channels that are climbed together; of `things`, two of the thousand."""
_STEP = (0.01, 0.07)
"""Mean change of a step in normalised units: 0.6 to 4 grey levels."""
_ANEW, _ENLARGE = 0.02, 0.04
"""How often a picture is replaced by a scene, and enlarged as by an octave, after a step."""


@dataclass(frozen=True)
class Climb:
    """What some pictures of the pool climb now: half the mean of some squared features."""

    layer: str
    channels: Tensor
    """(N, C, 1, 1), 1 for those that are climbed."""

    def value(self, features: Tensor) -> Tensor:
        """From a layer's features before their ReLU to one number for each picture, (N,)."""
        energy = functional.relu(features.float()).square() * self.channels
        return energy.mean((1, 2, 3)) / self.channels.mean((1, 2, 3)) / 2


@dataclass
class Handful:
    """Some pictures of the pool, taken out for one step."""

    numbers: Array
    corner: tuple[int, int]
    is_mirrored: bool
    image: Tensor
    """(N, 3, SEEN, SEEN), normalised."""
    climb: Climb


class Pool:
    """Pictures on which dreams go on, (count, size, size, 3) uint8."""

    def __init__(self, scenes: Array, count: int, random: Random) -> None:
        self._scenes, self._random = scenes, random
        self.pictures = np.array(scenes[random.choice(len(scenes), count, replace=False)])

    def take(self, count: int, device: torch.device) -> Handful:
        """Take pictures out at a random shift, with something to climb."""
        random, size = self._random, self.pictures.shape[1]
        numbers = random.choice(len(self.pictures), count, replace=False)
        top, left = (int(at) for at in random.integers(0, size - SEEN + 1, 2))
        part = self.pictures[numbers, top : top + SEEN, left : left + SEEN]
        is_mirrored = bool(random.integers(2))
        image = normalise(torch.from_numpy(part).to(device))
        image = image.flip(3) if is_mirrored else image
        image = image.contiguous(memory_format=torch.channels_last)
        return Handful(numbers, (top, left), is_mirrored, image, self._climb(count, device))

    def _climb(self, count: int, device: torch.device) -> Climb:
        random = self._random
        layer = str(random.choice(list(_LAYERS), p=list(_LAYERS.values())))
        channels = FEATURES[layer]
        share = 0.002 if layer == "things" else random.choice(_SHARES)
        chosen = random.random((count, channels)) < share
        chosen[np.arange(count), random.integers(channels, size=count)] = True
        return Climb(layer, torch.from_numpy(chosen).float().to(device)[:, :, None, None])

    def put_back(self, handful: Handful, gradient: Tensor, *, is_students: bool) -> None:
        """Take the step, and put the pictures back; now and then one starts anew or grows."""
        random, size = self._random, self.pictures.shape[1]
        if is_students:
            rest = SEEN - STUDENT - INSET
            gradient = functional.pad(gradient, (INSET, rest, INSET, rest))
        pace = float(np.exp(random.uniform(*np.log(_STEP))))
        motion = pace * gradient / gradient.abs().mean((1, 2, 3), keepdim=True).clamp_min(1e-12)
        black, white = limits(handful.image)
        image = (handful.image + motion).clamp(black, white)
        image = image.flip(3) if handful.is_mirrored else image
        # Rounded at random: steps smaller than a grey level must not be lost.
        levels = pixels(image).cpu().numpy()
        levels = (levels + random.random(levels.shape, np.float32)).clip(0, 255).astype(np.uint8)
        top, left = handful.corner
        self.pictures[handful.numbers, top : top + SEEN, left : left + SEEN] = levels
        for number in handful.numbers:
            chance = random.random()
            if chance < _ANEW:
                self.pictures[number] = self._scenes[random.integers(len(self._scenes))]
            elif chance < _ANEW + _ENLARGE:
                side = int(size / random.uniform(1.15, 1.5))
                y, x = random.integers(0, size - side + 1, 2)
                part = Image.fromarray(self.pictures[number, y : y + side, x : x + side])
                self.pictures[number] = part.resize((size, size), Image.Resampling.BICUBIC)
