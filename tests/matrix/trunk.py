"""What stands around the one odd thing of a network, and its weights.

Nearly all networks of people are a stem, the odd thing as `block`, a convolution `last`, and a
linear `head` of ten classes. Weights come from a seed, so that what reverie loads and what the
reference runs are two modules with the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from tests.matrix.scenes import Places
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH = 12
"""Channels of what a block gets and, unless it says otherwise, gives."""
WORDS = ("wolf", "fox", "bear", "owl", "hare", "stag", "lynx", "boar", "crow", "toad")


@dataclass(frozen=True)
class Person:
    """Somebody's network."""

    build: Callable[[], nn.Module]
    places: Places


class Offers(dict[str, Person]):
    """Networks by name."""

    def simple(self, name: str, *parts: Callable[[], nn.Module], width: int = WIDTH) -> None:
        """Offer one whose block is a row of modules and gives `width` channels."""

        def build() -> nn.Module:
            return Trunk(nn.Sequential(*(make() for make in parts)), width)

        self._offer(name, build)

    def network(
        self, window: int | None = None
    ) -> Callable[[Callable[[], nn.Module]], Callable[[], nn.Module]]:
        """Offer one by the name of the function that builds it."""

        def note(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
            self._offer(build.__name__, build, window)
            return build

        return note

    def _offer(self, name: str, build: Callable[[], nn.Module], window: int | None = None) -> None:
        places = Places(early="block", deep="last", head="head", window=window)
        self[name] = Person(lambda: seeded(build()), places)


def seeded(module: nn.Module) -> nn.Module:
    """Draw all weights so that activations stay about 1, whatever was drawn before."""
    generator = torch.Generator().manual_seed(len(list(module.modules())))
    with torch.no_grad():
        for name, value in sorted(module.state_dict(keep_vars=True).items()):
            drawn = torch.randn(value.shape, generator=generator)
            if value.ndim > 1:
                drawn *= (2 / value[0].numel()) ** 0.5
            elif "var" in name or name.endswith(("weight", "original0")):
                drawn = 0.75 + 0.5 * torch.sigmoid(drawn)
            else:
                drawn *= 0.2
            if value.is_floating_point():
                value.copy_(drawn)
    return module


class Trunk(nn.Module):
    """What stands around a block."""

    def __init__(self, block: nn.Module, width: int = WIDTH) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, stride=2, padding=1)
        self.bend = nn.ReLU(inplace=True)
        self.block = block
        self.last = nn.Conv2d(width, WIDTH, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(WIDTH, len(WORDS))

    def features(self, x: Tensor) -> Tensor:
        """Everything before the classes."""
        found: Tensor = self.last(self.block(self.bend(self.stem(x))))
        return found

    def forward(self, x: Tensor) -> Any:
        return self.head(self.pool(functional.relu(self.features(x))).flatten(1))


class Do(nn.Module):
    """A function as a module, as authors write them."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, x: Tensor) -> Tensor:
        return self._function(x)


def conv(ins: int = WIDTH, outs: int = WIDTH, **facts: Any) -> nn.Conv2d:
    return nn.Conv2d(ins, outs, facts.pop("kernel_size", 3), **{"padding": 1, **facts})
