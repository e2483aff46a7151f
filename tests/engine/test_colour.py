from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from reverie import Recipe, dream
from reverie.engine import canvas, colour
from reverie.engine.colour import Chroma, Palette, colour_of, luma, seen_in_grey

if TYPE_CHECKING:
    from PIL import Image

LOUD = Recipe(octaves=2, steps=4, step_size=6.0, precision="float32")


def chroma(picture: torch.Tensor) -> torch.Tensor:
    """B - Y' and R - Y', (N, 2, H, W)."""
    return torch.cat([picture[:, 2:] - luma(picture), picture[:, :1] - luma(picture)], dim=1)


def pixel(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)


def test_brightness_is_that_of_rec_709() -> None:
    assert float(luma(pixel(1, 0, 0))) == pytest.approx(0.2126)
    assert float(luma(pixel(0, 1, 0))) == pytest.approx(0.7152)
    assert float(luma(pixel(0, 0, 1))) == pytest.approx(0.0722)
    assert float(luma(pixel(0.3, 0.3, 0.3))) == pytest.approx(0.3)


def test_keeping_chroma_climbs_by_the_mean_of_the_channels() -> None:
    gradient = pixel(3.0, -1.0, 1.0)
    assert Chroma().along(gradient).flatten().tolist() == [1, 1, 1]


def test_keeping_chroma_takes_of_a_change_only_brightness() -> None:
    before, now = pixel(0.5, 0.25, 0.125), pixel(0.5, 0.25, 0.625)
    Chroma().hold(now, before, clip=True)
    change = 0.0722 * 0.5
    assert now.flatten().tolist() == pytest.approx([0.5 + change, 0.25 + change, 0.125 + change])


@pytest.mark.parametrize(("change", "stops_at"), [(0.5, 0.2), (-0.5, -0.1)])
def test_brightness_stops_where_a_channel_would_clip(change: float, stops_at: float) -> None:
    before = pixel(0.8, 0.1, 0.4)
    now = before + change
    Chroma().hold(now, before, clip=True)
    assert (now - before).flatten().tolist() == pytest.approx([stops_at] * 3)
    now = before + change
    Chroma().hold(now, before, clip=False)
    assert (now - before).flatten().tolist() == pytest.approx([change] * 3)


@pytest.mark.parametrize("kind", ["keep", "luminance"])
def test_a_dream_that_keeps_chroma_changes_only_brightness(photo: Image.Image, kind: str) -> None:
    image = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None] / 255
    free = dream(image, LOUD)
    kept = dream(image, LOUD.evolve(colour=kind))
    assert float((chroma(kept) - chroma(image)).abs().max()) < 1e-5
    assert float((chroma(free) - chroma(image)).abs().mean()) > 0.01
    assert float((luma(kept) - luma(image)).abs().mean()) > 0.02
    assert float(kept.min()) >= 0
    assert float(kept.max()) <= 1


def test_the_gradient_seen_in_grey_is_that_of_brightness() -> None:
    """Against autograd, in double precision, through an objective that is not linear."""

    def value(image: torch.Tensor) -> torch.Tensor:
        weights = torch.linspace(1, 2, image.numel(), dtype=image.dtype).view_as(image)
        return (image**3 * weights).sum(dim=(1, 2, 3))

    def gradient(image: torch.Tensor, _shift: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        watched = image.detach().requires_grad_()
        (found,) = torch.autograd.grad(value(watched).sum(), watched)
        return value(image), found

    image = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    change = torch.zeros(1, 1, 4, 5, dtype=torch.float64, requires_grad=True)

    def in_grey(change: torch.Tensor) -> torch.Tensor:
        return value(luma(image + change).expand(-1, 3, -1, -1))

    assert torch.autograd.gradcheck(in_grey, change)
    (expected,) = torch.autograd.grad(in_grey(change).sum(), change)
    values, found = seen_in_grey(gradient)(image, (0, 0))
    assert torch.allclose(values, in_grey(change).detach())
    assert torch.allclose(found, expected.expand(-1, 3, -1, -1))


def test_luminance_dreams_do_not_see_colours(picture: torch.Tensor) -> None:
    recipe = Recipe(octaves=1, steps=2, step_size=0.5, precision="float32")
    grey = luma(picture).expand(-1, 3, -1, -1).contiguous()

    def change(image: torch.Tensor, kind: Any) -> torch.Tensor:
        return luma(dream(image, recipe.evolve(colour=kind))) - luma(image)

    blind, seeing = change(picture, "luminance"), change(picture, "keep")
    assert torch.allclose(blind, change(grey, "luminance"), atol=1e-4)
    assert not torch.allclose(seeing, change(grey, "keep"), atol=1e-3)


def test_a_colour_outside_of_the_palette_moves_to_the_nearest_in_it() -> None:
    blue, green = pixel(0.2, 0.3, 0.8), pixel(0.3, 0.7, 0.2)
    base = torch.cat([blue.expand(-1, -1, 4, 4), green.expand(-1, -1, 4, 4)], dim=3)
    now = base.clone()
    now[..., 0, 0] = pixel(0.35, 0.35, 0.9)[..., 0, 0]  # a blue that leans to violet
    before = luma(now)
    Palette(base).hold(now, base, clip=True)
    cell = 2 / colour.CELLS
    assert float((chroma(now[..., :1, :1]) - chroma(blue)).abs().max()) <= cell
    assert torch.allclose(luma(now), before, atol=1e-6)
    assert torch.equal(now[..., 1:, :], base[..., 1:, :])


def test_one_odd_pixel_makes_no_palette() -> None:
    base = pixel(0.5, 0.5, 0.5).expand(-1, -1, 40, 40).clone()
    base[..., 0, 0] = torch.tensor([[1.0, 0.0, 0.0]])
    now = pixel(0.9, 0.2, 0.2).expand(-1, -1, 40, 40).clone()
    Palette(base).hold(now, base, clip=True)
    assert float(chroma(now).abs().max()) < 0.05


def test_a_dream_of_the_palette_has_only_its_colours(picture: torch.Tensor) -> None:
    warm = picture * torch.tensor([1.0, 0.7, 0.4]).view(1, 3, 1, 1)
    batch = torch.cat([warm, warm.flip(1)])
    held = dream(batch, LOUD.evolve(colour="palette", octaves=1, clip=False))
    free = dream(batch, LOUD.evolve(octaves=1, clip=False))
    for number in range(2):
        ways = colour._way_back(batch[number : number + 1])

        def away(image: torch.Tensor, ways: torch.Tensor = ways) -> float:
            return float(ways[:, colour._cell_of(image)[0]].abs().max())

        assert away(held[number : number + 1]) <= 2.5 / colour.CELLS
        assert away(free[number : number + 1]) > 10 / colour.CELLS


def test_free_colours_cost_nothing(picture: torch.Tensor) -> None:
    assert colour_of("free", picture) is None


@pytest.mark.parametrize("kind", ["keep", "palette"])
def test_bands_hold_colours_like_the_whole(
    picture: torch.Tensor, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held() -> torch.Tensor:
        how = colour_of(kind, picture)
        assert how is not None
        now = how.along((picture * 3).sin()) + picture
        how.hold(now, picture, clip=True)
        return now

    whole = held()
    monkeypatch.setattr(colour, "bands", lambda *each: canvas.bands(*each, most=500))
    assert torch.equal(held(), whole)


@pytest.mark.parametrize("kind", ["keep", "luminance", "palette"])
def test_a_mask_keeps_every_bit_outside(picture: torch.Tensor, kind: str) -> None:
    mask = torch.zeros(71, 97)
    mask[20:50, 30:60] = 0.5
    dreamed = dream(picture, LOUD.evolve(colour=kind), mask=mask)
    assert torch.equal(dreamed[..., mask == 0], picture[..., mask == 0])
    assert not torch.equal(dreamed, picture)
