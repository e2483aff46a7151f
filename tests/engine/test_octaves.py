from __future__ import annotations

import pytest
import torch

from reverie.engine import canvas, octaves
from reverie.engine.octaves import fit, octave_sizes, resize


def test_octaves_grow_to_the_picture_itself() -> None:
    sizes = octave_sizes((400, 301), octaves=4, scale=1.4)
    assert sizes == [(146, 110), (204, 154), (286, 215), (400, 301)]


def test_octaves_too_small_for_the_network_are_left_out() -> None:
    assert octave_sizes((100, 60), octaves=6, scale=2, smallest=32) == [(100, 60)]
    assert octave_sizes((100, 70), octaves=6, scale=2, smallest=32) == [(50, 35), (100, 70)]


def test_the_picture_itself_is_an_octave_however_small() -> None:
    assert octave_sizes((1, 1), octaves=3, scale=1.4, smallest=32) == [(1, 1)]


@pytest.mark.parametrize("size", [(20, 31), (71, 97), (200, 150)])
def test_resize_keeps_a_flat_picture_flat(size: tuple[int, int]) -> None:
    flat = torch.full((2, 3, 71, 97), 0.25)
    resized = resize(flat, size)
    assert resized.shape == (2, 3, *size)
    assert torch.allclose(resized, torch.tensor(0.25), atol=1e-6)


def test_shrinking_averages_instead_of_skipping_pixels() -> None:
    checkerboard = (torch.arange(64)[:, None] + torch.arange(64)) % 2
    small = resize(checkerboard[None, None].float(), (16, 16))
    assert torch.allclose(small[..., 2:-2, 2:-2], torch.tensor(0.5), atol=0.05)


def test_fit_sets_the_longest_side() -> None:
    assert fit((300, 600), 512) == (256, 512)
    assert fit((4000, 5), 100) == (100, 1)
    assert fit((300, 600), 0) == (300, 600)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((200, 300), (280, 420)),
        ((300, 200), (214, 143)),
        ((900, 30), (31, 17)),
        ((201, 203), (200, 204)),
        ((30, 900), (42, 900)),
        ((1, 5), (7, 3)),
        ((64, 64), (1, 1)),
    ],
)
def test_large_pictures_are_resampled_in_bands_as_exactly_as_at_once(
    before: tuple[int, int], after: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = torch.rand(2, 3, *before, generator=torch.Generator().manual_seed(0))
    exact = resize(image.double(), after)
    rounding = float((resize(image, after) - exact).abs().max())  # of PyTorch's own weights
    monkeypatch.setattr(octaves, "SMALL", 1)
    monkeypatch.setattr(canvas.bands, "__kwdefaults__", {"most": 17 * after[1]})
    assert float((resize(image, after) - exact).abs().max()) < 1.1 * rounding + 1e-6
