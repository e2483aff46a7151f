"""A plug-in with a generator as prior: a dream climbs in what a decoder can make of features.

The decoder is tiny and trained here, in seconds, to undo a layer of the embedded network: it knows
blurred shapes and colours of four pictures, and shows how such a plug-in is made. A good prior is a
decoder that somebody trained for days, put into the same two functions.

Source: Nguyen, Dosovitskiy, Yosinski, Brox, Clune 2016, Synthesizing the preferred inputs for
neurons in neural networks via deep generator networks (DGN-AM): x = G(z), and z climbs.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

import reverie
from reverie.networks.loading import load_network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LAYER = "rings"
WIDTH = 64
STEPS = 60
SIDE = 48
"""px of the crops that the decoder learns from."""


def encoder(layer: str) -> tuple[Callable[[Tensor], Tensor], int, int]:
    """What the embedded network sees: a function, its channels, and px between its positions."""
    network = load_network("embedded")
    about = network.layer(layer)
    if about.stride is None:
        message = f"{layer} has no positions."
        raise ValueError(message)

    def encode(image: Tensor) -> Tensor:
        prepared = network.prepare(frozenset({layer}), image.device, torch.float32)
        with torch.no_grad():
            return prepared(image)[layer]

    return encode, about.channels, about.stride


def decoder(channels: int, stride: int, generator: torch.Generator) -> nn.Sequential:
    """An untrained decoder from (N, channels, h, w) to (N, 3, stride h, stride w)."""
    with torch.device("meta"):  # without PyTorch's own weights, which use up random numbers
        layers: list[nn.Module] = [nn.Conv2d(channels, WIDTH, kernel_size=1), nn.ReLU()]
        width = WIDTH
        for _ in range(round(math.log2(stride))):
            narrower = max(8, width // 2)
            layers += [
                nn.Conv2d(width, narrower, kernel_size=3, padding=1),
                nn.ReLU(),
                nn.Upsample(scale_factor=2, mode="bilinear"),
            ]
            width = narrower
        network = nn.Sequential(*layers, nn.Conv2d(width, 3, kernel_size=3, padding=1))
    network.to_empty(device="cpu")
    with torch.no_grad():
        for weights in network.parameters():
            spread = math.sqrt(2 / weights[0].numel()) if weights.ndim > 1 else 0.0
            weights.normal_(std=spread, generator=generator)
    return network


def crops() -> Tensor:
    """Pieces of the samples that reverie ships, (N, 3, SIDE, SIDE)."""
    found = []
    for path in sorted((Path(reverie.__file__).parent / "samples").glob("*.jpg")):
        small = Image.open(path).convert("RGB").resize((3 * SIDE, 2 * SIDE))
        pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1) / 255
        pieces = pixels.unfold(1, SIDE, SIDE // 2).unfold(2, SIDE, SIDE // 2)
        found.append(pieces.permute(1, 2, 0, 3, 4).reshape(-1, 3, SIDE, SIDE))
    return torch.cat(found)


def train(layer: str = LAYER, steps: int = STEPS) -> tuple[nn.Sequential, list[float]]:
    """Train a decoder for a layer; the same one every time.

    Returns:
        The decoder, and the mean squared error in 0..1 of each step's crops before that step.
    """
    encode, channels, stride = encoder(layer)
    generator = torch.Generator().manual_seed(11)
    images = crops()
    codes = encode(images)
    scale = codes.square().mean().sqrt()
    network = decoder(channels, stride, generator)
    optimizer = torch.optim.Adam(network.parameters(), lr=4e-3)
    errors = []
    with torch.enable_grad():
        for _ in range(steps):
            chosen = torch.randint(len(images), (8,), generator=generator)
            error = functional.mse_loss(network(codes[chosen] / scale), images[chosen])
            optimizer.zero_grad()
            error.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            errors.append(error.item())
    with torch.no_grad():
        next(network.parameters()).div_(scale)  # it takes codes as the network gives them
    return network.eval().requires_grad_(requires_grad=False), errors


@cache
def _trained() -> nn.Sequential:
    return train()[0]


def encode(image: Tensor) -> Tensor:
    """What the embedded network sees in pictures, (N, channels, H / stride, W / stride)."""
    return encoder(LAYER)[0](image)


def decode(code: Tensor, _size: tuple[int, int]) -> Tensor:
    """What the decoder makes of a code, (N, 3, stride h, stride w); trained when first used."""
    picture: Tensor = _trained()(code)
    return picture


def sizes(wanted: tuple[int, int]) -> tuple[int, int]:
    """The nearest multiples of the stride, and at least four strides."""
    stride = encoder(LAYER)[2]
    height, width = (max(4, round(length / stride)) * stride for length in wanted)
    return height, width


@reverie.hookimpl
def reverie_parameterizations() -> Iterable[reverie.Parameterization]:
    """Offer what the decoder can make."""
    yield reverie.Parameterization(
        name="generator",
        summary="Only what a small decoder can make: soft shapes of four pictures.",
        encode=encode,
        decode=decode,
        is_exact=False,
        sizes=sizes,
    )
