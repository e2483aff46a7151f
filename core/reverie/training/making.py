"""How the embedded network is made: `python -m reverie.training all FOLDER --teacher FILE`.

Steps, each of which can be run alone: gather (fetch what scenes are made of), scenes (compose
them), train, measure, export, look (contact sheets beside the teacher's, and what they measure).
`all` does what is not done yet.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed
from torch.multiprocessing.spawn import spawn

from reverie.networks.embedded import WEIGHTS
from reverie.training import ingredients, looks, measures
from reverie.training.export import averaged, export, features_of
from reverie.training.scenes import compose
from reverie.training.teacher import Teacher
from reverie.training.train import Plan, Trainer

SCENES = 30_000
SIZE = 168
"""px: the side of a scene; crops of 144 are learned on."""
EVERY = 500
"""Steps after which a checkpoint is written and measured."""


def main() -> None:
    """Run one step, or all."""
    parser = argparse.ArgumentParser(prog="python -m reverie.training", description=__doc__)
    parser.add_argument("step", choices=("all", *STEPS))
    parser.add_argument("folder", type=Path, help="where everything is kept")
    parser.add_argument("--teacher", type=Path, help="weights of torchvision's squeezenet1_0")
    parser.add_argument("--output", type=Path, default=WEIGHTS, help="what export writes")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--processes", type=int, default=1, help="that train together on a CPU")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    for field in fields(Plan):
        kind = {"int": int, "float": float}[str(field.type)]
        default = 120.0 if field.name == "minutes" else field.default
        parser.add_argument(f"--{field.name}", type=kind, default=default)
    options = parser.parse_args()
    for name, run in STEPS.items():
        if options.step in {name, "all"}:
            run(options)


def gather(options: argparse.Namespace) -> None:
    """Fetch emoji, clip art and photographs."""
    ingredients.gather(options.folder / "ingredients")


def scenes(options: argparse.Namespace) -> None:
    """Compose the scenes, unless they are there."""
    file = options.folder / "scenes.npy"
    if not file.exists():
        things = ingredients.load(options.folder / "ingredients")
        np.save(file, compose(things, SCENES, SIZE, options.seed, os.cpu_count() or 1))


def train(options: argparse.Namespace) -> None:
    """Train, or go on where training stopped."""
    if options.processes == 1:
        _train(0, options)
    else:
        spawn(_train, (options,), options.processes)  # type: ignore[no-untyped-call]


def _train(rank: int, options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    if options.processes > 1:
        meeting = (options.folder / "meeting").absolute()
        distributed.init_process_group(
            "gloo", f"file://{meeting}", rank=rank, world_size=options.processes
        )
    plan = Plan(**{field.name: getattr(options, field.name) for field in fields(Plan)})
    device = torch.device(options.device)
    teacher = Teacher(options.teacher).to(device)
    made = np.load(options.folder / "scenes.npy", mmap_mode="r")
    trainer = Trainer(plan, teacher, made, device, rank, options.processes)
    checkpoint = options.folder / "network.pt"
    if checkpoint.exists():
        trainer.resume(checkpoint)
    started, smooth = time.monotonic(), dict[str, float]()

    def each(trainer: Trainer, losses: dict[str, float]) -> None:
        for name, value in losses.items():
            smooth[name] = 0.98 * smooth.get(name, value) + 0.02 * value
        if rank == 0 and trainer.step % 100 == 0:
            said = {name: round(value, 3) for name, value in smooth.items()}
            _say(options, step=trainer.step, seconds=round(time.monotonic() - started), **said)
        if trainer.step % EVERY == 0:
            trainer.save(checkpoint)
            if rank == 0:
                _measure(options)

    trainer.run(each)
    trainer.save(checkpoint)
    if options.processes > 1:
        distributed.destroy_process_group()


def measure(options: argparse.Namespace) -> None:
    """Measure the network as it is now, and add that to the log."""
    _measure(options, with_gradients=True)


def _measure(options: argparse.Namespace, *, with_gradients: bool = False) -> None:
    file = options.folder / "held_out.pt"
    if not file.exists():
        torch.save(measures.crops(ingredients.load(options.folder / "ingredients").held_out), file)
    images = torch.load(file, weights_only=True)
    see, teacher = features_of(averaged(options.folder / "network.pt")), Teacher(options.teacher)
    found = measures.feature_match(see, teacher, images)
    _say(options, R2={name: round(value, 3) for name, value in found.items()})
    if with_gradients:
        cosines = measures.gradient_match(see, teacher, images[::4])
        _say(options, cosines={name: [round(c, 3) for c in pair] for name, pair in cosines.items()})


def ship(options: argparse.Namespace) -> None:
    """Write the network as it ships."""
    moved = export(options.folder / "network.pt", options.output)
    _say(options, written=str(options.output), rounding={k: round(v, 5) for k, v in moved.items()})


def look(options: argparse.Namespace) -> None:
    """Write contact sheets of the network that was exported, and measure its dreams."""
    pictures = ingredients.load(options.folder / "ingredients").held_out
    student = f"embedded:{options.output.absolute()}"
    teacher = f"squeezenet1_0:{options.teacher.absolute()}"
    looks.sheets(pictures, student, teacher, options.folder / "sheets")
    judge = Teacher(options.teacher)
    names = {name: name for name in looks.TEACHERS}
    for network, layers in ((student, names), (teacher, looks.TEACHERS)):
        found = looks.measured(pictures, network, layers, judge)
        said = {
            layer: {name: round(value, 2) for name, value in values.items()}
            for layer, values in found.items()
        }
        _say(options, dreams_of=network.partition(":")[0], **said)


STEPS = {
    "gather": gather,
    "scenes": scenes,
    "train": train,
    "measure": measure,
    "export": ship,
    "look": look,
}


def _say(options: argparse.Namespace, **words: Any) -> None:
    line = json.dumps(words)
    print(line, flush=True)  # noqa: T201 - a maker's command
    with (options.folder / "log.jsonl").open("a") as log:
        log.write(line + "\n")
