"""Dreams on a GPU: those of the CPU, the same bytes each time, recorded or not."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tests.engine.test_replay import Recorder
from tests.gpu.gradients import CPU, PRECISIONS, RUNS, climb, cosine, size_on, waves

from reverie import Recipe, dream
from reverie.engine.jitter import roll, unroll
from reverie.engine.replay import replayed
from reverie.networks.loading import release
from reverie.presets import BUILT_IN

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from reverie.engine.tiles import Gradient

pytestmark = pytest.mark.gpu

SHORT = Recipe(octaves=2, steps=RUNS + 1, precision="float32")
"""Each octave warms up, records and replays."""
PRESETS = {each.name: each.recipe for each in BUILT_IN if each.recipe.network == "embedded"}
"""Those that need no download."""
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "change": {"objective": "creatures - 50000*total_variation(of=change)"},
    "caricature": {"objective": "caricature(creatures)"},
    "laplacian": {"laplacian": 3},
    "smoothing": {"smoothing": 0.5, "normalization": "std"},
    "waves": {"parameterization": "fourier", "optimizer": "adam"},
    "phases": {"parameterization": "maco", "optimizer": "adam"},
    "crops": {"crops": 3, "scale": 0.1, "rotate": 10.0},
    "colours": {"colour": "luminance", "anchor": 0.2},
    "edges": {"edges": "tile"},
}
"""What changes a step besides network and layer."""


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("network", ["embedded", "efficientnet_lite0", "squeezenet"])
def test_the_same_bytes_each_time(
    network: str, precision: str, named: Callable[[str], str], gpu: torch.device
) -> None:
    """Also where the first dream records its steps and the next finds them recorded."""
    recipe = SHORT.evolve(network=named(network), precision=precision)
    picture = waves(size_on(gpu), 1)
    first = dream(picture, recipe, device=gpu)
    assert not torch.equal(first, picture)
    assert torch.equal(first, dream(picture, recipe, device=gpu))
    release()
    assert torch.equal(first, dream(picture, recipe, device=gpu))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_first_step_is_the_cpus(variant: str, gpu: torch.device) -> None:
    recipe = SHORT.evolve(octaves=1, steps=1, **VARIANTS[variant])
    check_dream(recipe, gpu)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_presets_first_step_is_the_cpus(preset: str, gpu: torch.device) -> None:
    check_dream(PRESETS[preset].evolve(octaves=1, steps=1, precision="float32"), gpu)


def check_dream(recipe: Recipe, gpu: torch.device) -> None:
    """Compare what one step changes: more of them grow apart from rounding alone."""
    picture = waves(size_on(gpu), 1)
    found, expected = (dream(picture, recipe, device=where) for where in (gpu, CPU))
    change = expected - picture
    assert change.any()
    # Adam's first step is a sign: what is nearly 0 may have the other.
    least = 0.999 if recipe.optimizer == "plain" else 0.99
    assert cosine(found - picture, change) > least


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_gives_the_same_bytes_twice(variant: str, gpu: torch.device) -> None:
    recipe, picture = SHORT.evolve(**VARIANTS[variant]), waves(size_on(gpu), 1)
    first = dream(picture, recipe, device=gpu)
    assert torch.isfinite(first).all()
    assert torch.equal(first, dream(picture, recipe, device=gpu))


def recorded(gradient: Gradient) -> Gradient:
    """Record as a GPU would, where a CPU stands in."""

    def step(image: Tensor, *reference: object) -> tuple[Tensor, Tensor]:
        return gradient(image, (0, 0), *reference)

    return replayed(step, Recorder())


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("network", ["embedded", "efficientnet_lite0", "squeezenet"])
@pytest.mark.parametrize("kind", ["layer", "change"])
def test_a_replayed_step_is_the_step(
    kind: str,
    network: str,
    precision: str,
    named: Callable[[str], str],
    gpu: torch.device,
    caplog: pytest.LogCaptureFixture,
) -> None:
    release()
    layer = {"embedded": "creatures", "squeezenet": "fire8"}.get(network, "puppies")
    objective = f"{layer} - 3*total_variation(of=change)" if kind == "change" else layer
    recipe = SHORT.evolve(network=named(network), objective=objective, precision=precision)
    with caplog.at_level(logging.DEBUG, logger="reverie.engine.replay"):
        first, *_, last = climb(
            recipe,
            gpu,
            size_on(gpu),
            runs=RUNS,
            record=recorded if gpu.type == "cpu" else None,
        )
    assert not [each.getMessage() for each in caplog.records], "it could not be recorded"
    assert torch.equal(first.values, last.values)
    assert torch.equal(first.gradient, last.gradient)


def test_a_recorded_step_sees_the_picture_rolled(gpu: torch.device) -> None:
    def step(image: Tensor) -> tuple[Tensor, Tensor]:
        weight = torch.linspace(1, 2, image.shape[3], device=image.device)
        return (image**2 * weight).mean(dim=(1, 2, 3)), image * weight

    gradient = replayed(step, Recorder() if gpu.type == "cpu" else None)
    for seed in range(RUNS + 1):
        picture = waves((40, 52), seed).to(gpu)
        _, found = gradient(picture, (3, -5))
        assert torch.equal(found, unroll(step(roll(picture, (3, -5)))[1], (3, -5)))


def test_a_picture_on_the_gpu_stays_there(gpu: torch.device) -> None:
    picture = waves(size_on(gpu), 1).to(gpu)
    found = dream(picture, SHORT.evolve(octaves=1, steps=1))
    assert found.device.type == gpu.type
