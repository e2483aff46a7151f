from __future__ import annotations

import pytest
import torch

from reverie.engine import canvas
from reverie.engine.parameterization import PIXELS, move
from reverie.types import Parameterization

LOGIT = Parameterization(
    name="logit",
    summary="Pixels behind a sigmoid.",
    encode=lambda image: image.clamp(0.01, 0.99).logit(),
    decode=lambda latent, _size: latent.sigmoid(),
)


ONE = torch.ones(1, 1, 1, 1)


def test_pixels_move_by_the_gradient_times_the_pace(picture: torch.Tensor) -> None:
    before, gradient = picture.clone(), torch.full_like(picture, 2.0)
    latent, moved = move(PIXELS, picture, picture.clone(), gradient, ONE * 0.005, clip=False)
    assert torch.allclose(moved, before + 0.01)
    assert latent is moved


def test_pixels_are_moved_in_place(picture: torch.Tensor) -> None:
    image = picture.clone()
    address = image.data_ptr()
    _, moved = move(PIXELS, image, image, torch.ones_like(image), ONE * 0.01, clip=True)
    assert moved.data_ptr() == address


def test_clip_keeps_pixels_between_black_and_white(picture: torch.Tensor) -> None:
    gradient = torch.full_like(picture, 0.5)
    _, moved = move(PIXELS, picture, picture.clone(), gradient, ONE, clip=True)
    assert 0 <= float(moved.min()) <= float(moved.max()) == 1


@pytest.mark.parametrize("space", [PIXELS, LOGIT], ids=lambda space: space.name)
def test_each_picture_has_its_pace_and_the_mask_slows_it(
    picture: torch.Tensor, space: Parameterization
) -> None:
    batch = torch.cat([picture, picture])
    pace = torch.tensor([0.001, 0.002]).view(2, 1, 1, 1)
    mask = torch.ones(1, 1, 71, 97)
    mask[..., :40] = 0
    _, moved = move(
        space, space.encode(batch), batch.clone(), torch.ones_like(batch), pace, mask, clip=True
    )
    change = (moved - batch).abs().mean(dim=(1, 2))
    assert torch.all(change[:, :40] < 1e-5)
    slow, fast = change[:, 40:].mean(dim=1)
    assert float(fast) == pytest.approx(2 * float(slow), rel=0.02)


@pytest.mark.parametrize("rows", [1, 7, 71])
def test_bands_move_as_the_whole(
    picture: torch.Tensor, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradient, mask = picture.flip(2) - 0.5, picture[:, :1]
    _, whole = move(PIXELS, picture, picture.clone(), gradient, ONE * 0.3, mask, clip=True)
    monkeypatch.setattr(canvas.bands, "__kwdefaults__", {"most": rows * 97})
    _, parts = move(PIXELS, picture, picture.clone(), gradient, ONE * 0.3, mask, clip=True)
    assert torch.equal(parts, whole)


def test_in_any_space_the_picture_moves_as_far_as_it_should(picture: torch.Tensor) -> None:
    latent = LOGIT.encode(picture)
    gradient = torch.full_like(picture, 1.0)
    latent, moved = move(LOGIT, latent, picture, gradient, ONE / 255, clip=True)
    assert float((moved - picture).abs().mean()) == pytest.approx(1 / 255, rel=0.02)
    assert torch.allclose(LOGIT.decode(latent, (71, 97)), moved)
