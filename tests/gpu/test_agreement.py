"""A GPU climbs what the CPU climbs: every network that is here, every kind of step."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest
from tests.gpu.gradients import CPU, PRECISIONS, RUNS, check, climb, cosine, on_cpu, size_on
from tests.matrix.torchvision_families import FAMILIES
from tests.networks.test_pooling import Watch

from reverie import Recipe
from reverie.engine.kernels import choose
from reverie.networks.loading import release
from reverie.networks.prepared import PreparedNetwork

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

pytestmark = pytest.mark.gpu

NETWORKS = (
    "embedded",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "squeezenet",
    "bvlc_googlenet",
)
UNTRAINED = (
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "swin_t",
    "vgg11_bn",
    "vit_b_32",
)
"""Of torchvision's families, with random weights; two have padded average pools."""
STEPS = {
    "variation": "{layer} - 30*total_variation(1.5, of='change')",
    "distance": "{layer} - 20*l2_to_original()",
    "caricature": "caricature({layer})",
    "invert": "invert({layer})",
    "guide": "guide({layer})",
    "guide_mean": "guide_mean({layer})",
    "strongest": "strongest({layer}, 3)",
    "diversity": "channel({layer}, 1) + 0.5*diversity({layer})",
}
"""Kinds of step: what looks at the picture, at others, at what was found out before."""
LAYERS = {"embedded": "creatures", "squeezenet": "fire8"}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_climbs_as_on_the_cpu(
    network: str, precision: str, named: Callable[[str], str], gpu: torch.device
) -> None:
    check(Recipe(network=named(network)).evolve(precision=precision), gpu, size_on(gpu))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("network", LAYERS)
@pytest.mark.parametrize("kind", STEPS)
def test_every_kind_of_step_climbs_as_on_the_cpu(
    kind: str, network: str, precision: str, named: Callable[[str], str], gpu: torch.device
) -> None:
    objective = STEPS[kind].format(layer=LAYERS[network])
    recipe = Recipe(network=named(network), objective=objective).evolve(precision=precision)
    check(recipe, gpu, size_on(gpu))


@pytest.mark.parametrize("word", ["castle", "goldfish"])
@pytest.mark.parametrize("network", ["embedded", "squeezenet", "efficientnet_lite0"])
def test_a_class_climbs_as_on_the_cpu(
    network: str, word: str, named: Callable[[str], str], gpu: torch.device
) -> None:
    recipe = Recipe(network=named(network), objective=f"logit({word})", precision="float32")
    check(recipe, gpu, size_on(gpu))


@pytest.mark.parametrize("network", UNTRAINED)
def test_untrained_networks_climb_as_on_the_cpu(
    network: str, named: Callable[[str], str], gpu: torch.device
) -> None:
    family = FAMILIES[network]
    side = (family.window, family.window) if family.window else size_on(gpu)
    recipe = Recipe(network=named(network), objective=f"layer({family.deep!r})")
    for precision in ("float32",) if gpu.type == "cpu" else ("float32", "mixed"):
        check(recipe.evolve(precision=precision), gpu, side)


@pytest.mark.parametrize("network", ["embedded", "inception_v3", "maxvit_t"])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("has_program", [True, False])
def test_no_padded_average_pool_reaches_pytorchs_backward(
    network: str,
    precision: str,
    has_program: bool,
    named: Callable[[str], str],
    gpu: torch.device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a GPU it is wrong in channels_last order; on a CPU it is right, and may.

    Of MaxViT there is no program, so that autograd runs it as it is.
    """
    if gpu.type == "cpu" and network == "maxvit_t" and precision != "float32":
        pytest.skip("takes minutes on a CPU without bf16")
    release()  # nothing is recorded yet, so that all operations are seen
    if not has_program:
        monkeypatch.setattr(PreparedNetwork, "has_program", False)
    side = FAMILIES[network].window if network in FAMILIES else None
    recipe = Recipe(network=named(network)).evolve(precision=precision)
    choose(gpu)  # the CPU's compiled kernels are compared with PyTorch's when they are first used
    may_use_pytorchs = gpu.type == "cpu" and (not has_program or network == "maxvit_t")
    with nullcontext() if may_use_pytorchs else Watch():
        (found,) = climb(recipe, gpu, (side, side) if side else size_on(gpu))
    assert found.gradient.any()
    release()


def test_pictures_of_a_batch_climb_as_if_alone(gpu: torch.device) -> None:
    recipe = Recipe(precision="float32")
    both = climb(recipe, gpu, size_on(gpu), runs=RUNS, count=2)[-1]
    alone = climb(recipe, CPU, size_on(gpu), count=2)[-1]
    for found, expected in zip(both.gradient, alone.gradient, strict=True):
        assert cosine(found, expected) > 0.9999


def test_a_picture_in_tiles_climbs_as_on_the_cpu(
    gpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reverie.engine.prepare.LARGE", 300 * 300)
    size, recipe = (331, 402), Recipe(objective="rings", precision="float32")
    found = climb(recipe, gpu, size, runs=RUNS)[-1]
    assert cosine(found.gradient, on_cpu(recipe, size).gradient) > 0.9999
