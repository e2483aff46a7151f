from __future__ import annotations

import torch
from torch import nn

from reverie.networks.folding import fold_batch_norm


def normed() -> nn.Sequential:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 4, 3),
        nn.BatchNorm2d(4),
    )
    generator = torch.Generator().manual_seed(0)
    for part in network:
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_(generator=generator)
            part.running_var.uniform_(0.5, 2e6, generator=generator)
    return network.eval().requires_grad_(requires_grad=False)


def test_folding_changes_no_output() -> None:
    network = normed()
    image = torch.rand(2, 3, 20, 21, generator=torch.Generator().manual_seed(1))
    expected = network(image)
    fold_batch_norm(network, keep=())
    assert [type(part).__name__ for part in network] == [
        "Conv2d",
        "Identity",
        "ReLU",
        "BatchNorm2d",
        "Conv2d",
        "Identity",
    ]
    assert torch.allclose(network(image), expected, rtol=1e-4, atol=1e-6)


def test_a_convolution_whose_own_output_is_wanted_is_not_folded() -> None:
    network = normed()
    fold_batch_norm(network, keep={"0"})
    assert isinstance(network[1], nn.BatchNorm2d)
    assert isinstance(network[5], nn.Identity)


def test_a_network_that_cannot_be_traced_is_left_as_it_is() -> None:
    class Moody(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = normed()

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.inner(image) if image.mean() > 0 else image
            return result

    network = Moody()
    fold_batch_norm(network, keep=())
    assert isinstance(network.inner[1], nn.BatchNorm2d)


def random_norm(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    generator = torch.Generator().manual_seed(channels)
    assert norm.running_mean is not None
    norm.running_mean.normal_(generator=generator)
    return norm


class Shared(nn.Module):
    """Uses one convolution with two norms, and one norm after two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.other = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.first, self.second = random_norm(3), random_norm(3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        once = self.first(self.conv(image))
        twice = self.second(self.conv(once))
        result: torch.Tensor = self.second(self.other(twice))
        return result


def test_what_is_used_twice_is_not_folded() -> None:
    network = Shared().eval().requires_grad_(requires_grad=False)
    image = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    expected = network(image)
    fold_batch_norm(network, keep=())
    assert torch.equal(network(image), expected)


def test_a_block_that_ends_in_its_convolution_keeps_its_output() -> None:
    network = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 1)), random_norm(4))
    network = network.eval().requires_grad_(requires_grad=False)
    image = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    expected = network[0](image)
    fold_batch_norm(network, keep={"0"})
    assert torch.equal(network[0](image), expected)


def test_a_norm_without_statistics_stays() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    fold_batch_norm(network, keep=())
    assert isinstance(network[1], nn.BatchNorm2d)
