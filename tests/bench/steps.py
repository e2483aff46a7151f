"""Compares a step of reverie with a step of the classic loop: python tests/bench/steps.py

The classic loop is google/deepdream's, written in the shortest way that PyTorch allows: the
network's modules as they come, NCHW, float32, autograd. All take the same network, layer, picture
and update. Within one run the engines take turns, and a row gives medians and their ratios: compare
rows of one run only. `--squeezenet FILE` adds torchvision's SqueezeNet 1.0 to its layer fire8.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING, Literal

import torch

from reverie import Recipe
from reverie.device import own_grad_mode
from reverie.engine.gradient import normalize
from reverie.engine.parameterization import PIXELS, move
from reverie.engine.prepare import prepare
from reverie.networks.embedded import load as load_embedded
from reverie.types import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

SIZES = (224, 512, 1024)
"""px, of square pictures."""
SHIFT = (13, -21)
STEP = 1.5 / 255


def main() -> None:
    """Time every network and size, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--squeezenet", metavar="FILE", help="torchvision's SqueezeNet 1.0 weights")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    networks = [("embedded", load_embedded())]
    if options.squeezenet:
        networks.append((f"squeezenet1_0:{options.squeezenet}", squeezenet(options.squeezenet)))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")  # noqa: T201
    print("network       px  classic ms  float32 ms  bf16 ms  classic/float32  classic/bf16")  # noqa: T201
    for name, module in networks:
        for size in SIZES:
            engines = {
                "classic": classic(module),
                "float32": ours(name, "float32"),
                "bf16": ours(name, "bf16"),
            }
            slow, exact, fast = race(engines, size, options.rounds)
            print(  # noqa: T201
                f"{name.partition(':')[0]:12}{size:5}{slow:12.1f}{exact:12.1f}{fast:9.1f}"
                f"{slow / exact:17.2f}{slow / fast:14.2f}"
            )


def squeezenet(file: str) -> nn.Module:
    """SqueezeNet up to fire8, as the classic loop cuts it."""
    from safetensors.torch import load_file
    from torchvision.models import squeezenet1_0

    network = squeezenet1_0(weights=None)
    network.load_state_dict({key: value.float() for key, value in load_file(file).items()})
    module: nn.Module = network.features[:11]
    return module


def classic(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """make_step of dream.ipynb in PyTorch."""
    module = module.eval().requires_grad_(requires_grad=False)
    mean = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)

    def step(image: Tensor) -> Tensor:
        image = torch.roll(image, SHIFT, (2, 3)).detach().requires_grad_()
        (module((image - mean) / std) ** 2).mean().backward()
        gradient = image.grad
        if gradient is None:
            raise RuntimeError("no gradient")
        image = image.detach() + STEP * gradient / gradient.abs().mean()
        return torch.roll(image.clamp(0, 1), (-SHIFT[0], -SHIFT[1]), (2, 3))

    return step


def ours(name: str, precision: Literal["float32", "bf16"]) -> Callable[[Tensor], Tensor]:
    """One step as engine/dream.py takes it."""
    climb = prepare(Recipe(network=name, precision=precision), torch.device("cpu"))

    def step(image: Tensor) -> Tensor:
        with own_grad_mode():
            _, gradient = climb.gradient(image, SHIFT)
            motion = STEP * normalize(gradient, "mean")
            return move(PIXELS, image, image, motion, clip=True)[1]

    return step


def race(engines: dict[str, Callable[[Tensor], Tensor]], size: int, rounds: int) -> list[float]:
    """Median milliseconds of each engine; who begins changes from round to round."""
    image = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    times: dict[str, list[float]] = {name: [] for name in engines}
    order = list(engines)
    for number in range(rounds + 1):
        for name in order:
            started = time.perf_counter()
            engines[name](image)
            if number:  # the first round warms up
                times[name].append(1000 * (time.perf_counter() - started))
        order.append(order.pop(0))
    return [statistics.median(each) for each in times.values()]


if __name__ == "__main__":
    main()
