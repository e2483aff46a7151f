"""One gradient of a recipe on a device, and how near two of them are."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from reverie.device import ExactArithmetic, own_grad_mode
from reverie.engine.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Callable

    from reverie import Recipe

CPU = torch.device("cpu")
SHIFT = (5, -9)
RUNS = 4
"""Steps until a GPU replays a recorded one: two to warm up, one to record, one more."""
PRECISIONS = ("float32", "mixed", "bf16")
RIGHT = 0.9999
"""The least cosine with the CPU's float32, of what sees in float32."""
ROUNDED = 0.02
"""How much lower than the CPU's own cosine that of bf16 may be."""


class Found(NamedTuple):
    """What a step gets, on the CPU."""

    values: Tensor
    gradient: Tensor


def waves(size: tuple[int, int], seed: int, count: int = 1) -> Tensor:
    """Make pictures of clouds and grain, (count, 3, *size), 0.05..0.95, nothing flat."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.rand(count, 3, *size, generator=generator) * 0.1 - 0.05
    for side, strength in ((4, 0.5), (11, 0.3), (29, 0.2)):
        noise = torch.rand(count, 3, side, side + 2, generator=generator)
        total += strength * functional.interpolate(noise, size=size, mode="bicubic")
    return total.clamp(0.05, 0.95)


def size_on(device: torch.device) -> tuple[int, int]:
    """Height and width in px; less where a CPU stands in, which may have no bf16 of its own."""
    return (96, 128) if device.type == "cpu" else (227, 290)


def climb(
    recipe: Recipe,
    device: torch.device,
    size: tuple[int, int],
    *,
    runs: int = 1,
    count: int = 1,
    record: Callable[[Callable[..., tuple[Tensor, Tensor]]], Callable[..., tuple[Tensor, Tensor]]]
    | None = None,
) -> list[Found]:
    """Give the gradients of the same step, taken several times.

    Args:
        recipe: with whatever objective; one that needs a guide gets one.
        device: where.
        size: height and width in px of the pictures.
        runs: how often.
        count: pictures in the batch.
        record: makes a gradient that is recorded of one that is not, where the device does not.
    """
    picture = waves(size, 1, count)
    original = 0.7 * picture + 0.3 * waves(size, 2, count)
    guide = waves((97, 118), 3).to(device) if "guide" in recipe.objective else None
    found = []
    with own_grad_mode(), ExactArithmetic(device):
        ready = prepare(recipe, device, None, guide)
        picture, original = picture.to(device), original.to(device)
        beside = ready.beside(picture, original)
        gradient = ready.gradient if record is None else record(ready.gradient)
        for _ in range(runs):
            values, each = gradient(picture, SHIFT, *beside)
            found.append(Found(values.cpu().clone(), each.cpu().clone()))
    return found


@lru_cache(maxsize=64)
def on_cpu(recipe: Recipe, size: tuple[int, int]) -> Found:
    """The CPU's gradient, which other tests have proven."""
    return climb(recipe, CPU, size)[0]


def cosine(one: Tensor, other: Tensor) -> float:
    """1 where two gradients point the same way."""
    return float(
        functional.cosine_similarity(one.double().flatten(), other.double().flatten(), dim=0)
    )


def check(recipe: Recipe, device: torch.device, size: tuple[int, int]) -> None:
    """Hold a device's gradient against the CPU's in float32.

    In bf16 it may be as far from that as the CPU's own is.
    """
    found = climb(recipe, device, size, runs=1 if device.type == "cpu" else RUNS)[-1]
    expected = on_cpu(recipe.evolve(precision="float32"), size)
    assert float(expected.gradient.norm()) > 0, "nothing to climb: choose another objective"
    assert torch.isfinite(found.gradient).all()
    least, norm, value = RIGHT, 0.01, 2e-3
    if recipe.precision == "bf16":
        least = cosine(on_cpu(recipe, size).gradient, expected.gradient) - ROUNDED
        norm, value = 0.1, 0.1
    near = cosine(found.gradient, expected.gradient)
    ratio = float(found.gradient.norm() / expected.gradient.norm())
    assert near >= least, f"cosine {near:.5f}, norm ratio {ratio:.4f}"
    assert abs(ratio - 1) < norm, f"norm ratio {ratio:.4f}, cosine {near:.5f}"
    assert all_near(found.values, expected.values, value), (found.values, expected.values)


def all_near(found: Tensor, expected: Tensor, share: float) -> bool:
    """Tell whether values agree but for a share of them."""
    return bool(((found - expected).abs() <= share * expected.abs().clamp_min(1e-3)).all())
