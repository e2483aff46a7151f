"""Every kind of network x every kind of objective x every precision, whole and in tiles.

What is climbed is compared with plain autograd in float64, on networks that reverie has not
touched. `make test` runs a sample, in which each network meets each precision, each objective meets
each precision and each view, and each network a few objectives; `make test-matrix` runs all.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import pytest
import torch
from tests.matrix import plugin
from tests.matrix.cases import TILE, Case, rows
from tests.matrix.networks_of_people import PEOPLE
from tests.matrix.reference import KINDS, Plain, Sight
from tests.matrix.torchvision_families import CHANNELS_LAST, HALF, load_plainly
from torch import Tensor
from torch.nn import functional

from reverie import Recipe
from reverie.device import own_grad_mode
from reverie.engine.prepare import prepare
from reverie.types import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    from collections.abc import Callable

    from reverie.engine.prepare import Climb

pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit.:FutureWarning"),  # people have it all the same
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel"),
]
CPU = torch.device("cpu")
DTYPES = {"float32": torch.float32, "mixed": torch.float32, "bf16": torch.bfloat16}


@lru_cache(maxsize=2)
def plain(name: str, dtype: torch.dtype, recipe_name: Callable[[str], str]) -> Plain:
    if name in PEOPLE:
        module = PEOPLE[name].build().eval().to(dtype).requires_grad_(requires_grad=False)
        return Plain(module, dtype, plugin.MEAN, plugin.STD)
    module = load_plainly(name, recipe_name(name).partition(":")[2], dtype)
    half = (0.5, 0.5, 0.5)
    mean, std = (half, half) if name in HALF else (IMAGENET_MEAN, IMAGENET_STD)
    module.requires_grad_(requires_grad=False)
    return Plain(module, dtype, mean, std, name in CHANNELS_LAST)


class Found(NamedTuple):
    values: Tensor
    gradient: Tensor
    scale: float
    """What a value of this objective is about, to measure its error with."""


@lru_cache(maxsize=8)
def by_autograd(
    case: Case,
    dtype: torch.dtype,
    shares: tuple[tuple[float, ...], ...] | None,
    recipe_name: Callable[[str], str],
) -> Found:
    """What plain PyTorch gives, picture by picture unless they look at each other."""
    kind, scene = KINDS[case.kind], case.scene()
    network = plain(case.network, dtype, recipe_name)
    if shares is not None:
        scene = replace(scene, found=torch.tensor(shares))
    with own_grad_mode():
        sight = Sight(network, scene, case.layers)
        sight.number = case.word[1]  # type: ignore[attr-defined]
        values = kind.value(sight)
        (gradient,) = torch.autograd.grad(values.sum(), sight.leaf)
        (first, *_) = case.layers
        scale = float(values.detach().abs().mean() + getattr(sight, first).detach().abs().mean())
    return Found(values.detach(), gradient, scale)


def climb_of(case: Case, precision: str, recipe_name: Callable[[str], str]) -> Climb:
    recipe = Recipe(network=recipe_name(case.network), objective=case.text)
    recipe = recipe.evolve(precision=precision)
    guide = case.scene().guide if "guide" in case.kind else None
    climb = prepare(recipe, CPU, None, guide)
    return prepare(recipe, CPU, TILE * climb.footprint, guide) if case.is_tiled else climb


@pytest.mark.parametrize(
    ("case", "precision"),
    [pytest.param(Case(*row[:3]), row[3], id="-".join(row).replace(" ", "_")) for row in rows()],
)
def test_the_gradient_is_that_of_plain_autograd(
    case: Case, precision: str, recipe_name: Callable[[str], str]
) -> None:
    scene = case.scene()
    with own_grad_mode():
        climb = climb_of(case, precision, recipe_name)
        beside = climb.beside(scene.picture, scene.original)
        values, gradient = climb.gradient(scene.picture, scene.shift, *beside)
    shares = None
    if KINDS[case.kind].chooses is not None:
        (row,) = beside[0].found.values()
        shares = tuple(tuple(each) for each in row.tolist())
        check_choice(case, row, precision, recipe_name)
    exact = by_autograd(case, torch.float64, shares, recipe_name)
    if not exact.gradient.any():  # a neuron that is silent here
        assert not gradient.any()
        return

    def eager() -> Found:
        return by_autograd(case, DTYPES[precision], shares, recipe_name)

    check_gradient(gradient, exact, precision, eager)
    check_values(values, exact, precision, eager, is_tiled=case.is_tiled)


GOOD = {"float32": 1e-4, "mixed": 1e-3, "bf16": 0.01}
"""How far from 1 a cosine may be without an excuse."""
MARGIN = {"float32": 5e-4, "mixed": 1e-3, "bf16": 0.03}
"""How much farther it may be than that of plain PyTorch in the same precision. ReLUs and pools that
decide otherwise after a rounding error are others in each; one is worth up to 3e-2 of a gradient's
length, and in bf16 with random weights there are many."""


def check_gradient(found: Tensor, exact: Found, precision: str, eager: Callable[[], Found]) -> None:
    assert torch.isfinite(found).all()
    cosine, ratio = compared(found, exact.gradient)
    most, longest = GOOD[precision], 0.05 if precision == "bf16" else 0.02
    if 1 - cosine > most or abs(ratio - 1) > longest:
        apart, its_ratio = plainly_apart(eager, exact)
        most = max(most, (1.1 if precision == "bf16" else 3) * apart + MARGIN[precision])
        longest = max(longest, 3 * abs(its_ratio - 1), most)
    assert 1 - cosine < most, f"cosine {cosine:.5f}, norm ratio {ratio:.4f}"
    assert abs(ratio - 1) < longest, f"norm ratio {ratio:.4f}, cosine {cosine:.5f}"


def plainly_apart(eager: Callable[[], Found], exact: Found) -> tuple[float, float]:
    """Give how far from 1 plain PyTorch's cosine is in a precision, and its ratio of norms."""
    try:
        cosine, ratio = compared(eager().gradient, exact.gradient)
    except NotImplementedError:  # it has no such kernel: ours sees that operation in float32
        return 0.05, 1.0
    return 1 - cosine, ratio


def compared(found: Tensor, exact: Tensor) -> tuple[float, float]:
    """Give the cosine between two gradients, and the ratio of their norms."""
    found = found.double()
    cosine = functional.cosine_similarity(found.flatten(), exact.double().flatten(), dim=0)
    return float(cosine), float(found.norm() / exact.norm())


def check_values(
    values: Tensor, exact: Found, precision: str, eager: Callable[[], Found], *, is_tiled: bool
) -> None:
    """In tiles, halos count too, so that a value is only about right."""
    error = float((values - exact.values).abs().max()) / exact.scale
    most = 0.3 if is_tiled else 0.1 if precision == "bf16" else 2e-3
    if error > most and precision == "bf16":
        most += 2 * float((eager().values - exact.values).abs().max()) / exact.scale
    assert error < most, f"values {values.tolist()}, not {exact.values.tolist()}"


def check_choice(
    case: Case, row: Tensor, precision: str, recipe_name: Callable[[str], str]
) -> None:
    """Ask whether the engine chose the channels that are due, but for those that are as strong."""
    choose = KINDS[case.kind].chooses
    assert choose is not None
    sight = Sight(plain(case.network, torch.float64, recipe_name), case.scene(), case.layers)
    seen = sight.picture_whole[0].flatten(1)
    strength, right = seen.mean(1), torch.zeros(len(seen))
    if "average" in case.kind:
        right[choose(strength)] = 1
    else:  # channels that are silent all over are passed over
        heard = seen.ne(0).any(1).nonzero().flatten()
        right[heard[choose(strength[heard])]] = 1
    chosen = (row[0] > 0).float()
    near = (1e-3 if precision != "bf16" else 0.2) * float(strength.std())
    if "average" in case.kind:
        wrong = (chosen != right) & ((strength - strength.mean()).abs() > near)
        assert not wrong.any()
        return
    assert int(chosen.sum()) == int(right.sum())
    apart = strength[chosen > 0].sort().values - strength[right > 0].sort().values
    assert float(apart.abs().max()) <= near
