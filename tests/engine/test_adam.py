from __future__ import annotations

import pytest
import torch

from reverie.engine.adam import Adam


@pytest.mark.parametrize("scale", [1.0, 1e-20, 1e20])
def test_it_is_pytorch_s_whatever_the_gradient_s_scale(scale: float) -> None:
    generator = torch.Generator().manual_seed(1)
    gradients = torch.randn(6, 1, 3, 4, 5, generator=generator, dtype=torch.float64)
    gradients[0] /= gradients[0].abs().mean()
    own = Adam(gradients[0])
    reference = torch.zeros(1, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([reference], lr=1.0, maximize=True)
    walked = torch.zeros_like(gradients[0])
    for gradient in gradients:
        reference.grad = gradient.clone()
        optimizer.step()
        own.begin((gradient * scale).abs().flatten(1).mean(1))
        walked += own.direction(gradient * scale)
    assert torch.allclose(walked, reference, atol=1e-7)


def test_the_first_step_is_one_in_the_gradient_s_direction() -> None:
    gradient = torch.tensor([[3.0, -0.01, 0.0]])
    adam = Adam(gradient)
    adam.begin(gradient.abs().mean(1))
    assert adam.direction(gradient).tolist()[0] == pytest.approx([1, -1, 0], abs=1e-5)


def test_a_picture_without_a_gradient_waits_for_one() -> None:
    adam = Adam(torch.zeros(2, 1))
    for value in (0.0, 0.0, 5.0):
        gradient = torch.tensor([[1.0], [value]])
        adam.begin(gradient.abs().mean(1))
        direction = adam.direction(gradient)
    assert torch.isfinite(direction).all()
    # m = 0.1 g, v = 0.001 g^2, both with the corrections of the third step
    assert float(direction[1]) == pytest.approx(0.1 / 0.271 / (0.001 / 0.002997001) ** 0.5, 1e-4)


def test_rows_are_taken_as_the_whole_is(picture: torch.Tensor) -> None:
    whole, banded = Adam(picture), Adam(picture)
    gradient = picture - 0.5
    for _ in range(2):
        for adam in (whole, banded):
            adam.begin(gradient.abs().flatten(1).mean(1))
        expected = whole.direction(gradient)
        parts = [
            banded.direction(gradient[:, :, rows], rows) for rows in (slice(0, 30), slice(30, 71))
        ]
        assert torch.equal(torch.cat(parts, 2), expected)
