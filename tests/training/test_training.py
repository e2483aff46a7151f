from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from reverie.networks.embedded import EmbeddedNetwork
from reverie.training.dreams import Pool
from reverie.training.matching import Scale, feature_loss, gradient_cosines, read
from reverie.training.train import Plan, Trainer

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from reverie.training.teacher import Teacher

Array = np.ndarray[Any, Any]
CPU = torch.device("cpu")


def plan(**changes: Any) -> Plan:
    small = {"minutes": 1.0, "scenes": 2, "dreams": 2, "pool": 6, "freeze": 1.0}
    return Plan(**{**small, **changes})


class Enough(Exception):  # noqa: N818 - not an error
    """Ends training after some steps."""


def trained(trainer: Trainer, steps: int) -> list[dict[str, float]]:
    losses: list[dict[str, float]] = []

    def each(_trainer: Trainer, values: dict[str, float]) -> None:
        losses.append(values)
        if len(losses) == steps:
            raise Enough

    with pytest.raises(Enough):
        trainer.run(each)
    return losses


def test_the_student_comes_nearer_to_the_teacher(teacher: Teacher, scenes: Array) -> None:
    losses = trained(Trainer(plan(), teacher, scenes, CPU), 12)
    means = [float(np.mean(list(step.values()))) for step in losses]
    assert np.mean(means[-3:]) < 0.8 * np.mean(means[:3])


def test_gradients_are_learned_from_too_if_so_planned(teacher: Teacher, scenes: Array) -> None:
    (losses,) = trained(Trainer(plan(follow=0.0), teacher, scenes, CPU), 1)
    assert 0 < losses["gradients"] < 2
    (losses,) = trained(Trainer(plan(), teacher, scenes, CPU), 1)
    assert "gradients" not in losses


def test_a_dream_counts_by_what_it_excites() -> None:
    network = EmbeddedNetwork().eval()
    image = torch.randn((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    found = {name: read(network, name, carried) for name, carried in network.see(image).items()}
    scale = Scale([{name: value + 1 for name, value in found.items()}])
    losses = []
    for strength in (1, 1000):
        wanted = {name: strength * (value + 1) for name, value in found.items()}
        losses.append(feature_loss(network, image, wanted, scale, lambda _, value: value))
    usual, strong = losses
    assert all(float(value.detach()) < 2 for value in strong.values())
    assert all(float(usual[name].detach()) > 0 for name in usual)


def test_training_goes_on_from_a_checkpoint(
    teacher: Teacher, scenes: Array, tmp_path: Path
) -> None:
    first = Trainer(plan(), teacher, scenes, CPU)
    trained(first, 2)
    first.save(tmp_path / "network.pt")
    second = Trainer(plan(), teacher, scenes, CPU)
    second.resume(tmp_path / "network.pt")
    assert second.step == first.step == 2
    assert second.done == first.done > 0
    assert np.array_equal(second.pool.pictures, first.pool.pictures)
    for name, value in first.average.state_dict().items():
        assert torch.equal(second.average.state_dict()[name], value), name
    states = [each.optimizer.state_dict()["state"] for each in (first, second)]
    assert states[0].keys() == states[1].keys()
    trained(second, 1)


def test_another_plan_starts_from_what_was_learned(
    teacher: Teacher, scenes: Array, tmp_path: Path
) -> None:
    first = Trainer(plan(), teacher, scenes, CPU)
    trained(first, 2)
    first.save(tmp_path / "network.pt")
    second = Trainer(plan(rate=1e-3), teacher, scenes, CPU)
    second.resume(tmp_path / "network.pt")
    assert second.step == second.done == 0
    strokes = "strokes.0.weight"
    assert torch.equal(second.student.state_dict()[strokes], first.student.state_dict()[strokes])


def test_a_step_in_the_pool_climbs(teacher: Teacher, scenes: Array) -> None:
    pool = Pool(scenes, 4, np.random.default_rng(0))
    handful = pool.take(4, CPU)
    image = handful.image.requires_grad_()

    def value(image: Tensor) -> Tensor:
        return handful.climb.value(teacher(image)[handful.climb.layer])

    before = value(image)
    (gradient,) = torch.autograd.grad(before.sum(), image)
    handful.image = image.detach()
    pictures = pool.pictures.copy()
    pool.put_back(handful, gradient, is_students=False)
    changed = (pool.pictures.astype(int) - pictures).reshape(4, -1).any(axis=1)
    assert changed.all()
    pace = 0.01 / gradient.abs().mean((1, 2, 3), keepdim=True)
    assert (value(handful.image + pace * gradient) > before).all()


def test_a_student_s_step_leaves_what_it_does_not_see(scenes: Array) -> None:
    square = scenes[:, :144, :144]  # no room to shift
    pool = Pool(square, 2, np.random.default_rng(1))
    pictures = pool.pictures.copy()
    handful = pool.take(2, CPU)
    pool.put_back(handful, torch.ones(2, 3, 128, 128), is_students=True)
    apart = np.abs(pool.pictures.astype(int) - pictures).max(axis=(0, 3))
    assert apart[8:130, 12:130].max() > 0
    assert apart[:5].max() <= 1  # rounding


def test_cosines_know_same_opposite_and_unrelated() -> None:
    one = torch.randn((2, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    for sign in (1, -1):
        full, low = gradient_cosines(sign * 3 * one, one)
        assert full.tolist() == pytest.approx([sign, sign])
        assert low.tolist() == pytest.approx([sign, sign])
    fine = torch.ones(1, 3, 16, 16)
    fine[..., ::2] = -1  # nothing is left of it in squares of 4 px
    full, low = gradient_cosines(fine + 0.1, torch.ones_like(fine))
    assert float(full) < 0.2
    assert float(low) == pytest.approx(1)
