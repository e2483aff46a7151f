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
