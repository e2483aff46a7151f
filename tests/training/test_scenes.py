from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from reverie.training.motifs import MOTIFS, noise
from reverie.training.scenes import compose, crop

if TYPE_CHECKING:
    from reverie.training.ingredients import Ingredients


@pytest.mark.parametrize("family", dict.fromkeys(MOTIFS), ids=lambda family: family.__name__[1:])
def test_a_motif_is_a_picture_and_the_same_for_the_same_generator(family: object) -> None:
    assert callable(family)
    first, second = (family(48, np.random.default_rng(4)) for _ in range(2))
    assert first.shape == (48, 48, 3)
    assert np.isfinite(first).all()
    assert np.array_equal(first, second)
    assert np.clip(first, 0, 1).std() > 0.01  # it shows something
    assert not np.array_equal(first, family(48, np.random.default_rng(5)))


def test_noise_has_the_slope_that_was_asked_for() -> None:
    field = noise(256, np.random.default_rng(2), slope=1.5)
    power = np.abs(np.fft.rfft2(field)) ** 2
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256))
    low, high = (power[(frequency > f * 0.9) & (frequency < f * 1.1)].mean() for f in (0.05, 0.2))
    assert np.log(high / low) / np.log(0.2 / 0.05) == pytest.approx(-3, abs=0.3)


def test_scenes_do_not_depend_on_how_many_processes_make_them(ingredients: Ingredients) -> None:
    alone = compose(ingredients, 6, 40, seed=7, processes=1)
    together = compose(ingredients, 6, 40, seed=7, processes=2)
    assert alone.shape == (6, 40, 40, 3)
    assert alone.dtype == np.uint8
    assert np.array_equal(alone, together)
    assert not np.array_equal(alone[0], alone[1])


def test_a_crop_larger_than_its_photograph_is_enlarged() -> None:
    photo = np.full((20, 30, 3), 51, np.uint8)
    for seed in range(8):
        found = crop([photo], 64, np.random.default_rng(seed))
        assert found.shape == (64, 64, 3)
        assert found == pytest.approx(0.2)
