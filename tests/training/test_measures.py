from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from reverie.networks.embedded import FEATURES
from reverie.training.measures import (
    checkerboard,
    crops,
    diversity,
    feature_match,
    gradient_match,
    spectrum_slope,
)
from reverie.training.motifs import noise
from reverie.training.teacher import SEEN, STUDENT, students

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from reverie.training.teacher import Teacher


@pytest.fixture(scope="module")
def images() -> Tensor:
    random = np.random.default_rng(3)
    return crops({"a": random.integers(0, 256, (300, 300, 3), np.uint8)}, each=4)


def test_crops_are_always_the_same(images: Tensor) -> None:
    random = np.random.default_rng(3)
    again = crops({"a": random.integers(0, 256, (300, 300, 3), np.uint8)}, each=4)
    assert images.shape == (4, 3, SEEN, SEEN)
    assert torch.equal(images, again)


def test_a_student_that_sees_what_the_teacher_sees_explains_all(
    teacher: Teacher, images: Tensor
) -> None:
    def perfect(image: Tensor) -> Mapping[str, Tensor]:
        assert torch.equal(image, students(images))  # one batch
        return {name: value.relu() for name, value in teacher(images).items()}

    found = feature_match(perfect, teacher, images)
    assert found == pytest.approx(dict.fromkeys(FEATURES, 1.0))


def test_a_student_that_sees_each_channel_s_mean_explains_nothing(
    teacher: Teacher, images: Tensor
) -> None:
    def dull(_image: Tensor) -> Mapping[str, Tensor]:
        seen = {name: value.relu() for name, value in teacher(images).items()}
        border = {name: 2 if name == "strokes" else 1 for name in FEATURES}
        return {
            name: value[:, :, border[name] : -border[name], border[name] : -border[name]]
            .mean((0, 2, 3), keepdim=True)
            .expand_as(value)
            for name, value in seen.items()
        }

    nothing = dict.fromkeys(FEATURES, 0.0)
    assert feature_match(dull, teacher, images) == pytest.approx(nothing, abs=1e-4)


def test_a_student_with_the_teacher_s_gradient_has_cosine_1(
    teacher: Teacher, images: Tensor
) -> None:
    def same(image: Tensor) -> Mapping[str, Tensor]:
        around = images.clone()
        inset = (SEEN - STUDENT) // 2 - 2
        around[:, :, inset : inset + STUDENT, inset : inset + STUDENT] = image
        return {name: value.relu() for name, value in teacher(around).items()}

    found = gradient_match(same, teacher, images)
    assert set(found) == set(FEATURES)
    for full, low in found.values():
        assert full == pytest.approx(1, abs=1e-3)
        assert low == pytest.approx(1, abs=1e-3)


def test_the_slope_of_noise_is_twice_its_amplitude_s() -> None:
    assert spectrum_slope(noise(256, np.random.default_rng(1), 1.0)) == pytest.approx(-2, abs=0.2)
    assert spectrum_slope(noise(256, np.random.default_rng(1), 0.0)) == pytest.approx(0, abs=0.2)


def test_a_grid_of_8_px_stands_out_and_noise_does_not() -> None:
    field = np.random.default_rng(2).standard_normal((256, 256))
    assert checkerboard(field) == pytest.approx(1, abs=0.2)
    point = np.zeros((8, 8))
    point[0, 0] = 3
    assert checkerboard(field + np.tile(point, (32, 32))) > 2
    waves = np.sin(np.arange(256) / 7.3)[None] * np.ones((256, 1))  # no period of a network's
    assert checkerboard(field + waves) < 1.3


def test_equal_dreams_have_no_diversity_and_opposite_ones_have_more(teacher: Teacher) -> None:
    random = np.random.default_rng(6)
    picture, one, other = random.integers(0, 256, (3, SEEN, SEEN, 3), np.uint8)
    assert diversity(teacher, picture, [one, one, one]) == pytest.approx(0, abs=1e-5)
    assert diversity(teacher, picture, [one, other]) > 0.05
