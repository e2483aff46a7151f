from __future__ import annotations

import torch

from reverie.engine.selection import select


def test_without_a_mask_everything_is_dreamed(picture: torch.Tensor) -> None:
    area = select(picture, None, margin=10)
    assert area.pixels.shape == picture.shape
    assert torch.equal(area.lay_in(picture + 1), picture + 1)


def test_the_area_is_the_selection_and_what_it_can_see(picture: torch.Tensor) -> None:
    mask = torch.zeros(1, 1, 71, 97)
    mask[..., 30:35, 2:9] = 1
    area = select(picture, mask, margin=6)
    assert area.pixels.shape == (1, 3, 5 + 12, 9 + 6)
    assert torch.equal(area.pixels, picture[:, :, 24:41, 0:15])


def test_only_selected_pixels_change(picture: torch.Tensor) -> None:
    mask = torch.zeros(1, 1, 71, 97)
    mask[..., 30:35, 2:9] = 0.2
    area = select(picture, mask, margin=6)
    result = area.lay_in(torch.zeros_like(area.pixels))
    changed = (result != picture).any(dim=1)[0]
    assert torch.equal(changed, mask[0, 0] > 0)


def test_a_mask_of_zeros_selects_nothing(picture: torch.Tensor) -> None:
    area = select(picture, torch.zeros(1, 1, 71, 97), margin=6)
    assert area.pixels.numel() == 0
