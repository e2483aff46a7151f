from __future__ import annotations

import pytest
import torch

from reverie.engine.parameterization import PIXELS, move
from reverie.types import Parameterization

LOGIT = Parameterization(
    name="logit",
    summary="Pixels behind a sigmoid.",
    encode=lambda image: image.clamp(0.01, 0.99).logit(),
    decode=lambda latent, _size: latent.sigmoid(),
)


def test_pixels_move_by_just_the_motion(picture: torch.Tensor) -> None:
    motion = torch.full_like(picture, 0.01)
    latent, moved = move(PIXELS, picture, picture, motion, clip=False)
    assert torch.equal(moved, picture + motion)
    assert torch.equal(latent, moved)


def test_clip_keeps_pixels_between_black_and_white(picture: torch.Tensor) -> None:
    _, moved = move(PIXELS, picture, picture, torch.full_like(picture, 0.5), clip=True)
    assert 0 <= float(moved.min()) <= float(moved.max()) == 1


def test_in_any_space_the_picture_moves_as_far_as_it_should(picture: torch.Tensor) -> None:
    motion = torch.full_like(picture, 1 / 255)
    latent = LOGIT.encode(picture)
    latent, moved = move(LOGIT, latent, picture, motion, clip=True)
    assert float((moved - picture).abs().mean()) == pytest.approx(1 / 255, rel=0.02)
    assert torch.allclose(LOGIT.decode(latent, (71, 97)), moved)
