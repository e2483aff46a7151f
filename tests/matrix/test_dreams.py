"""Whole dreams: every network, in every space, under every constraint, changes the picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tests.matrix import cases
from tests.matrix.cases import HEAVY, IS_ALL, NETWORKS, PRECISIONS, SIZE, is_sampled
from tests.matrix.sampling import Row, sampled
from tests.matrix.scenes import waves
from tests.matrix.torchvision_families import FAMILIES
from torch import Tensor

from reverie import Recipe, Step, dream

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit.:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel"),
]
SPACES = ("pixels", "fourier", "phase", "maco")
LUMA = torch.tensor([0.2126, 0.7152, 0.0722]).view(1, 3, 1, 1)


@dataclass(frozen=True)
class Constraint:
    """Something that holds a dream back, and what it promises of pixels."""

    recipe: dict[str, Any] = field(default_factory=dict)
    minus: str = ""
    """Subtracted from the layer."""
    is_masked: bool = False
    promise: Callable[[Tensor, Tensor], bool] = lambda _before, _after: True


def chroma(image: Tensor) -> Tensor:
    """Blue and red less brightness, (N, 2, H, W)."""
    brightness = (image * LUMA).sum(1, keepdim=True)
    return torch.cat([image[:, 2:] - brightness, image[:, :1] - brightness], 1)


def same_chroma(before: Tensor, after: Tensor) -> bool:
    return bool((chroma(before) - chroma(after)).abs().max() < 2e-3)


def in_palette(before: Tensor, after: Tensor) -> bool:
    """Chroma is, to a cell's diagonal, one that the picture has, but where a colour is clipped."""
    inside = (after.amin(1) > 0) & (after.amax(1) < 1)
    known, found = (chroma(image)[0] for image in (before, after))
    found = found[:, inside[0]].mT[::17]
    return bool(torch.cdist(found, known.flatten(1).mT).amin(1).max() < 2 * 2**0.5 / 128)


def same_tones(before: Tensor, after: Tensor) -> bool:
    sorted_before, sorted_after = (image.flatten(2).sort(2).values for image in (before, after))
    return bool((sorted_before - sorted_after).abs().mean() < 1 / 255)


def much_is_grey(_before: Tensor, after: Tensor) -> bool:
    return bool((after == 0.5).all(1).float().mean() > 0.2)


def right_half_stays(before: Tensor, after: Tensor) -> bool:
    half = before.shape[3] // 2
    return torch.equal(before[..., half:], after[..., half:])


CONSTRAINTS: dict[str, Constraint] = {
    "nothing": Constraint(),
    "blur": Constraint(minus="blur(0.7)"),
    "clip_small_norm": Constraint(minus="clip_small_norm(30)", promise=much_is_grey),
    "clip_small_contribution": Constraint(
        minus="clip_small_contribution(30)", promise=much_is_grey
    ),
    "total_variation": Constraint(minus="total_variation()"),
    "l2_to_original": Constraint(minus="2*l2_to_original()"),
    "keep": Constraint({"colour": "keep"}, promise=same_chroma),
    "luminance": Constraint({"colour": "luminance"}, promise=same_chroma),
    "palette": Constraint({"colour": "palette"}, promise=in_palette),
    "anchor": Constraint({"anchor": 1.0}, promise=same_tones),
    "tile": Constraint({"edges": "tile"}),
    "panorama": Constraint({"edges": "panorama"}),
    "unclipped": Constraint({"clip": False}),
    "mask": Constraint(is_masked=True, promise=right_half_stays),
    "octaves": Constraint({"octaves": 3, "octave_scale": 1.2}),
    "carried": Constraint({"octaves": 2, "octave_scale": 1.2, "carry": "picture"}),
    "laplacian": Constraint({"laplacian": 3}),
    "smoothing": Constraint({"smoothing": 0.5, "normalization": "std"}),
    "adam": Constraint({"optimizer": "adam"}),
    "noise": Constraint({"start": "noise"}),
    "procedural": Constraint({"start": "procedural"}),
    "turned": Constraint({"rotate": 20.0, "scale": 0.1, "flip": True, "pad": 8}),
    "crops": Constraint({"crops": 2}),
}


def rows() -> list[Row]:
    """One of each network, or with all of the matrix each network under each constraint.

    In the sample a network dreams in a precision in which its gradients are not compared.
    """
    every: list[Row] = list(product(NETWORKS, SPACES, CONSTRAINTS, PRECISIONS))
    if IS_ALL:
        return sampled(every, lambda _: len(CONSTRAINTS), lambda _: True)
    met = {(row[0], row[3]) for row in cases.rows()}
    quick = [row for row in every if is_sampled(row[0]) and (row[0], row[3]) not in met]
    # Where edges meet, networks that see everything see 256 px more on each side.
    quick = [row for row in quick if row[0] not in FAMILIES or row[2] not in {"tile", "panorama"}]
    return sampled(quick, lambda _: 1, lambda _: True)


@pytest.mark.parametrize(
    ("network", "space", "constraint", "precision"),
    [pytest.param(*row, id="-".join(row)) for row in rows()],
)
def test_a_dream_changes_the_picture_and_keeps_what_is_promised(
    network: str,
    space: str,
    constraint: str,
    precision: str,
    recipe_name: Callable[[str], str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    held, window = CONSTRAINTS[constraint], NETWORKS[network].window
    picture = waves((window, window) if window else SIZE, 3)
    places = NETWORKS[network]
    layer = places.early if network in HEAVY and not IS_ALL else places.deep
    recipe = Recipe(octaves=1, steps=2, step_size=3.0).evolve(
        network=recipe_name(network),
        objective=f"layer({layer!r})" + (f" - {held.minus}" if held.minus else ""),
        parameterization=space,
        precision=precision,
        **held.recipe,
    )
    mask = None
    if held.is_masked:
        mask = torch.ones(picture.shape[2:])
        mask[:, mask.shape[1] // 2 :] = 0
    steps: list[Step] = []
    found = dream(picture, recipe, mask=mask, device="cpu", on_step=steps.append)
    assert [record.message for record in caplog.records] == []
    assert torch.isfinite(torch.stack([step.values for step in steps])).all()
    assert len(steps) == recipe.octaves * recipe.steps
    assert mask is not None or steps[-1].size == picture.shape[2:]
    assert found.shape == picture.shape
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert float((found - picture).abs().max()) > 1 / 255
    if space == "pixels":  # others hold only some pictures exactly
        assert held.promise(picture, found)
