from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from reverie.engine import tiles
from reverie.engine.gradient import image_gradient
from reverie.networks.loading import load_network
from reverie.objectives import layer

CPU = torch.device("cpu")


@pytest.fixture
def large() -> torch.Tensor:
    """A picture of (1, 3, 620, 715), neither side a multiple of a stride."""
    noise = torch.rand(1, 3, 90, 104, generator=torch.Generator().manual_seed(0))
    return functional.interpolate(noise, size=(620, 715), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("name", ["eyes", "creatures"])
def test_tiles_give_the_gradient_of_the_whole_picture(large: torch.Tensor, name: str) -> None:
    network = load_network("embedded")
    objective, found = layer(name), network.layer(name)
    ready = network.prepare([name], CPU, torch.float32)
    assert found.receptive_field is not None
    assert found.stride is not None
    seen: list[tuple[int, ...]] = []

    def whole(
        image: torch.Tensor, shift: tuple[int, int] = (0, 0)
    ) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(tuple(image.shape[2:]))
        return image_gradient(ready, objective, image, shift)

    expected_value, expected = whole(large)
    reach, stride = found.receptive_field, found.stride
    side = 160
    halo = -(-reach // stride) * stride
    value, gradient = tiles.tiled(whole, reach, stride, whole=side + 2 * halo)(large, (0, 0))
    assert len(seen) == 1 + 4 * 5
    assert max(max(shape) for shape in seen[1:]) <= side + 2 * halo
    similarity = functional.cosine_similarity(gradient.flatten(), expected.flatten(), dim=0)
    assert float(similarity) > 0.9995
    # Inside one tile the two differ by one factor only, the cells that its mean is taken over.
    one, other = gradient[..., 160:320, 150:280], expected[..., 160:320, 150:280]
    factor = float((one * other).sum() / (one * one).sum())
    assert factor == pytest.approx(1, abs=0.06)
    assert float((one * factor - other).norm() / other.norm()) < 1e-3
    assert float(value) == pytest.approx(float(expected_value), rel=0.1)


def test_without_the_halo_the_seams_would_show(large: torch.Tensor) -> None:
    network = load_network("embedded")
    ready = network.prepare(["eyes"], CPU, torch.float32)

    def whole(
        image: torch.Tensor, shift: tuple[int, int] = (0, 0)
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return image_gradient(ready, layer("eyes"), image, shift)

    _, expected = whole(large)
    _, gradient = tiles.tiled(whole, halo=0, stride=8, whole=160)(large, (0, 0))
    similarity = functional.cosine_similarity(gradient.flatten(), expected.flatten(), dim=0)
    assert float(similarity) < 0.99


def test_a_small_picture_is_seen_as_a_whole(picture: torch.Tensor) -> None:
    seen: list[tuple[int, ...]] = []

    def gradient(image: torch.Tensor, _shift: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(tuple(image.shape[2:]))
        return image.sum(dim=(1, 2, 3)), image

    tiles.tiled(gradient, halo=40, stride=8)(picture, (0, 0))
    assert seen == [(71, 97)]
