from __future__ import annotations

import pytest
import torch

from reverie.engine.gradient import image_gradient, normalize, smooth, smoothing_sigma
from reverie.networks.loading import load_network
from reverie.objectives import layer


def test_normalized_by_mean_each_picture_has_mean_magnitude_one() -> None:
    gradient = torch.randn(2, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    gradient[1] *= 1e-6
    magnitude = normalize(gradient, "mean").abs().mean(dim=(1, 2, 3))
    assert torch.allclose(magnitude, torch.ones(2))


def test_normalized_by_std_each_picture_has_deviation_one() -> None:
    gradient = torch.randn(2, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    deviation = normalize(gradient, "std").std(dim=(1, 2, 3), correction=0)
    assert torch.allclose(deviation, torch.ones(2))


@pytest.mark.parametrize("by", ["mean", "std"])
def test_a_gradient_of_zero_stays_zero(by: str) -> None:
    assert torch.equal(normalize(torch.zeros(1, 3, 4, 4), by), torch.zeros(1, 3, 4, 4))


def test_a_smoothed_point_keeps_its_sum_and_is_round() -> None:
    point = torch.zeros(1, 3, 61, 61)
    point[:, :, 30, 30] = 1
    blurred = smooth(point, 2.0)
    assert torch.allclose(blurred.sum(dim=(2, 3)), torch.ones(1, 3), atol=1e-5)
    assert torch.allclose(blurred, blurred.mT, atol=1e-7)
    assert torch.allclose(blurred, blurred.flip(2), atol=1e-7)
    # Three Gaussians of variance 1, 4 and 16 px2 average to a variance of 7 in each direction.
    rows = torch.arange(61.0)[:, None] - 30
    assert float((blurred[0, 0] * rows**2).sum()) == pytest.approx(7, rel=0.03)


def test_smoothing_works_on_pictures_smaller_than_its_kernel() -> None:
    assert smooth(torch.ones(1, 3, 2, 50), 8.0).allclose(torch.ones(1, 3, 2, 50))


def test_smoothing_grows_over_an_octave_as_in_its_source() -> None:
    assert smoothing_sigma(0.5, step=1, steps=10) == pytest.approx(0.7)
    assert smoothing_sigma(0.5, step=10, steps=10) == pytest.approx(2.5)


def test_the_gradient_is_the_slope_of_the_objective(picture: torch.Tensor) -> None:
    objective = layer("eyes")
    network = load_network("embedded").prepare(objective.layers, torch.device("cpu"), torch.float32)
    value, gradient = image_gradient(network, objective, picture)
    direction = gradient / gradient.norm()
    step = 2e-3
    (above, _), (below, _) = (
        image_gradient(network, objective, picture + sign * step * direction) for sign in (1, -1)
    )
    slope = float((above - below) / (2 * step))
    assert value.shape == (1,)
    assert slope == pytest.approx(float(gradient.norm()), rel=0.05)
    assert not picture.requires_grad
