from __future__ import annotations

import pytest
import torch
from torch import nn

from reverie.errors import NetworkError
from reverie.networks.layers import find_layers
from reverie.networks.loading import load_network


class Tokens(nn.Module):
    """Gives (N, positions, channels), as transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 12, 16, 16)
        self.mix = nn.Linear(12, 12)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens: torch.Tensor = self.mix(self.patch(image).flatten(2).mT)
        return tokens


def test_layers_have_channels_stride_and_receptive_field() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 7, stride=2, padding=3),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.Sequential(nn.Conv2d(8, 16, 3, padding=2, dilation=2), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )
    layers = find_layers(network)
    found = {n: (x.channels, x.stride, x.receptive_field) for n, x in layers.items()}
    assert found == {
        "0": (8, 2, 7),
        "1": (8, 4, 11),
        "2.0": (16, 4, 11 + 4 * 4),
        "2.1": (16, 4, 27),
        "2": (16, 4, 27),
        "3": (16, None, None),
        "4": (16, None, None),
        "5": (10, None, None),
    }
    assert [layer.order for layer in layers.values()] == sorted(x.order for x in layers.values())


@pytest.mark.parametrize("name", ["outlines", "eyes", "creatures"])
def test_the_receptive_field_is_what_the_gradient_touches(name: str) -> None:
    network = load_network("embedded")
    field = network.layers[name].receptive_field
    assert field is not None
    image = torch.rand(1, 3, 288, 288, generator=torch.Generator().manual_seed(0))
    image.requires_grad_()
    given = network.prepare([name], torch.device("cpu"), torch.float32)(image)[name]
    middle = given.shape[2] // 2
    (gradient,) = torch.autograd.grad(given[0, :, middle, middle].sum(), image)
    touched = gradient.abs().sum(dim=(0, 1)).nonzero()
    extent = int((touched.amax(dim=0) - touched.amin(dim=0) + 1).max())
    assert 0.8 * field < extent <= field


def test_the_channel_axis_of_tokens_is_found() -> None:
    layers = find_layers(Tokens())
    assert (layers["mix"].channels, layers["mix"].channel_axis) == (12, 2)
    assert layers["patch"].channel_axis == 1


def test_a_network_that_cannot_take_a_picture_is_refused() -> None:
    with pytest.raises(NetworkError, match="cannot take a picture of 288 x 224 px"):
        find_layers(nn.Sequential(nn.Conv2d(4, 8, 3)))


def test_a_stride_that_is_no_power_of_two_is_told_rightly() -> None:
    layers = find_layers(nn.Sequential(nn.Conv2d(3, 4, 14, 14), nn.Conv2d(4, 4, 3, padding=1)))
    assert [layer.stride for layer in layers.values()] == [14, 14]
