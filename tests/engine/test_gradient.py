from __future__ import annotations

import pytest
import torch

from reverie.engine import canvas
from reverie.engine import gradient as engine
from reverie.engine.gradient import image_gradient, magnitude, smooth, smoothing_sigma
from reverie.networks.loading import load_network
from reverie.objectives import layer


def noise(count: int = 2) -> torch.Tensor:
    """Gradients, (count, 3, 300, 41), each a million times weaker than the one before."""
    gradient = torch.randn(count, 3, 300, 41, generator=torch.Generator().manual_seed(0)) + 0.2
    return gradient * (1e-6 ** torch.arange(float(count))).view(-1, 1, 1, 1)


def in_bands_of(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas.bands, "__kwdefaults__", {"most": rows * 41})
    monkeypatch.setattr(engine, "_SMOOTHED_AT_ONCE", rows * 41)


@pytest.mark.parametrize("rows", [300, 64, 1])
def test_the_magnitude_is_the_mean_or_the_deviation_of_each_picture(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_bands_of(rows, monkeypatch)
    gradient = noise().double()
    mean, deviation = (magnitude(noise(), by) for by in ("mean", "std"))
    assert mean.shape == deviation.shape == (2, 1, 1, 1)
    expected = gradient.abs().mean(dim=(1, 2, 3))
    assert torch.allclose(mean.double().flatten(), expected, rtol=1e-6, atol=0)
    expected = gradient.std(dim=(1, 2, 3), correction=0)
    assert torch.allclose(deviation.double().flatten(), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("by", ["mean", "std"])
def test_a_gradient_of_zero_can_be_divided_by_its_magnitude(by: str) -> None:
    zero = torch.zeros(1, 3, 4, 4)
    assert torch.equal(zero / magnitude(zero, by), zero)


@pytest.mark.parametrize("rows", [100, 64, 5])
@pytest.mark.parametrize("sigma", [0.5, 8.0])
def test_bands_are_smoothed_as_the_whole(
    rows: int, sigma: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = smooth(noise(1), sigma)
    in_bands_of(rows, monkeypatch)
    parts = smooth(noise(1), sigma)
    assert torch.allclose(parts, whole, rtol=0, atol=1e-6)


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
