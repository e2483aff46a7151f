"""Times a step with the embedded network and with its teacher: python tests/bench/student.py

Both take turns on one picture, in reverie's own engine, up to the layers that learned from each
other; only ratios of one run are given. Random weights do for the teacher: what it has learned
changes no time.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

from networks import picture
from race import race, ratio, spread
from reverie import Recipe
from reverie.device import choose_device, own_grad_mode
from reverie.engine.prepare import prepare
from reverie.training.looks import TEACHERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from race import Run


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512, help="px of the square picture")
    parser.add_argument("--precision", default="float32", help="as in recipes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=4, help="in each turn")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    with tempfile.TemporaryDirectory() as folder, own_grad_mode():
        teacher = f"squeezenet1_0:{_untrained(Path(folder))}"
        print("| layer | teacher/student | spread |\n|---|---|---|")  # noqa: T201
        for layer, there in TEACHERS.items():
            runs = {
                "student": _steps("embedded", layer, options, device),
                "teacher": _steps(teacher, there, options, device),
            }
            times = race(runs, options.rounds, options.steps, _wait(device))
            quotient = ratio(times["teacher"], times["student"])
            apart = max(spread(each) for each in times.values())
            print(f"| {layer} / {there} | {quotient:.2f} | {apart:.0f} % |")  # noqa: T201


def _steps(network: str, layer: str, options: argparse.Namespace, device: torch.device) -> Run:
    recipe = Recipe(
        network=network, objective=f'layer("{layer}")', precision=options.precision, octaves=1
    )
    climb = prepare(recipe, device)
    image = picture(options.size).to(device)

    def run(steps: int, tick: Callable[[], None]) -> None:
        for number in range(steps):
            climb.gradient(image, (number, -number))
            tick()

    return run


def _untrained(folder: Path) -> Path:
    from torchvision.models import squeezenet1_0

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = squeezenet1_0(weights=None)
    file = folder / "teacher.safetensors"
    save_file(network.state_dict(), file)
    return file


def _wait(device: torch.device) -> Callable[[], None]:
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


if __name__ == "__main__":
    main()
