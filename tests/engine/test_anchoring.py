from __future__ import annotations

import pytest
import torch

from reverie import Recipe, dream
from reverie.engine import anchoring, canvas
from reverie.engine import prepare as preparing
from reverie.engine.anchoring import Anchor
from reverie.types import Parameterization

CLOSE = 0.51 / 1024
LOGIT = Parameterization(
    name="logit",
    summary="Pixels behind a sigmoid.",
    encode=lambda image: image.clamp(0.01, 0.99).logit(),
    decode=lambda latent, _size: latent.sigmoid(),
)


def noise(seed: int, height: int = 40, width: int = 50, batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 3, height, width, generator=generator)


def pulled(picture: torch.Tensor, original: torch.Tensor, share: float = 1.0) -> torch.Tensor:
    result = picture.clone()
    Anchor(original).pull(result, share)
    return result


def test_a_whole_pull_gives_the_sorted_tones_of_the_original() -> None:
    original, picture = noise(0, 160, 200) ** 2, noise(1, 160, 200) * 0.4 + 0.3
    result = pulled(picture, original)
    for channel in range(3):
        wanted, found = original[0, channel].flatten().sort(), result[0, channel].flatten().sort()
        assert float((wanted.values - found.values).abs().max()) < 3 * CLOSE
        order = picture[0, channel].flatten().argsort()
        assert float(result[0, channel].flatten()[order].diff().min()) > -1e-6


def test_two_tones_become_the_two_of_the_original() -> None:
    original = torch.tensor([0.2, 0.6]).repeat(8).view(1, 1, 4, 4).expand(-1, 3, -1, -1)
    picture = torch.tensor([1.3, -0.4]).repeat(8).view(1, 1, 4, 4).repeat(1, 3, 1, 1)
    result = pulled(picture, original)
    assert torch.allclose(result, original.flip(3), atol=1 / 1024)
    half = pulled(picture, original, 0.5)
    assert torch.allclose(half, (picture + original.flip(3)) / 2, atol=1 / 1024)


@pytest.mark.parametrize("levels", [255, 65535])
def test_the_original_itself_hardly_moves(levels: int) -> None:
    original = (noise(2) * levels).round() / levels
    original[..., 0, 0], original[..., 0, 1] = 0.0, 1.0
    assert float((pulled(original, original) - original).abs().max()) <= 1 / 1024


def test_pictures_of_a_batch_keep_their_own_tones() -> None:
    original = torch.cat([noise(0) * 0.2, noise(1) * 0.2 + 0.8])
    picture = noise(3, batch=2)
    together = pulled(picture, original)
    for number in range(2):
        own = slice(number, number + 1)
        assert torch.equal(together[own], pulled(picture[own], original[own]))


def test_only_where_the_mask_is_not_0_tones_count_and_move() -> None:
    original, picture = noise(0) * 0.5, noise(1)
    mask = torch.zeros(1, 1, 40, 50)
    mask[..., :25] = 1.0
    original[..., 25:] = 0.9
    result = picture.clone()
    Anchor(original, mask).pull(result, 1.0)
    assert torch.equal(result[..., 25:], picture[..., 25:])
    assert torch.allclose(
        result[..., :25], pulled(picture[..., :25], original[..., :25]), atol=1e-6
    )


def test_bands_pull_like_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    original, picture = noise(0), noise(1) ** 3
    whole = pulled(picture, original, 0.7)
    monkeypatch.setattr(anchoring, "bands", lambda *each: canvas.bands(*each, most=300))
    assert torch.equal(pulled(picture, original, 0.7), whole)


def drift(dreamed: torch.Tensor, picture: torch.Tensor) -> float:
    """The largest distance of a channel's tones, sorted, from those of the original, on average."""
    apart = dreamed.flatten(2).sort().values - picture.flatten(2).sort().values
    return float(apart.abs().mean(dim=2).max())


def test_a_dream_of_a_hundred_steps_stays_in_range(picture: torch.Tensor) -> None:
    recipe = Recipe(octaves=1, steps=100, step_size=3.0, precision="float32")
    free = dream(picture, recipe)
    some = dream(picture, recipe.evolve(anchor=0.1))
    whole = dream(picture, recipe.evolve(anchor=1.0))
    assert drift(free, picture) > 0.05
    assert drift(some, picture) < 0.4 * drift(free, picture)
    assert drift(whole, picture) < 1 / 255
    assert float((whole - picture).abs().mean()) > 0.05  # it dreamed all the same


def test_an_anchored_dream_is_repeatable_and_masked(picture: torch.Tensor) -> None:
    mask = torch.zeros(71, 97)
    mask[10:60, 10:60] = 1
    recipe = Recipe(octaves=2, steps=3, anchor=0.5, colour="keep")
    first = dream(picture, recipe, mask=mask)
    assert torch.equal(first, dream(picture, recipe, mask=mask))
    assert torch.equal(first[..., mask == 0], picture[..., mask == 0])


def test_other_spaces_are_anchored_too(
    picture: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "find", lambda *_: LOGIT)
    recipe = Recipe(octaves=1, steps=8, step_size=4.0, precision="float32")
    free, held = dream(picture, recipe), dream(picture, recipe.evolve(anchor=1.0))
    assert drift(held, picture) < 1 / 255 < 0.2 * drift(free, picture)
    assert not torch.equal(held, picture)
