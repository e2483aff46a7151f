"""Trains the embedded network: its features follow the teacher's on scenes and on dreams.

Feature distillation (Romero et al. 2015, "FitNets"; here at seven depths at once), on-policy:
part of each batch are dreams of teacher and student (see dreams.py). In the second half the
student's gradients follow the teacher's, too (Czarnecki et al. 2017, "Sobolev training").
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, distributed, nn

from reverie.device import choose_precision
from reverie.networks.embedded import EmbeddedNetwork
from reverie.training.dreams import Pool
from reverie.training.matching import Scale, feature_loss, gradient_cosines, read, thinned
from reverie.training.teacher import SEEN, Teacher, normalise, students
from reverie.training.variations import varied

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from reverie.training.dreams import Handful
    from reverie.training.motifs import Array

_BORDER = 12
"""px at the student's edge in which gradients are not compared: it sees its padding there."""
_RAMP = 100
"""Steps in which the learning rate rises."""


@dataclass(frozen=True)
class Plan:
    """One stage of training."""

    minutes: float
    scenes: int = 10
    """In each batch of each process."""
    dreams: int = 5
    """In each batch of each process."""
    rate: float = 5e-3
    """AdamW's learning rate, after a short ramp."""
    hold: float = 0.3
    """Share of the time before the rate falls, as a cosine, to a hundredth."""
    freeze: float = 0.5
    """Share of the time after which BatchNorm keeps its statistics."""
    follow: float = 0.5
    """Share of the time after which the student's gradients follow the teacher's, too."""
    gradients: float = 0.5
    """Weight of the cosines between the gradients of student and teacher."""
    pool: int = 2000
    """Pictures that each process dreams on."""
    seed: int = 0


class Trainer:
    """One process of a training run: a student, its average, and a pool of dreams."""

    def __init__(
        self,
        plan: Plan,
        teacher: Teacher,
        scenes: Array,
        device: torch.device,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        """Start from random weights; `resume` goes on from a checkpoint.

        Args:
            plan: what to do.
            teacher: on `device`.
            scenes: (count, size, size, 3) uint8, size at least SEEN.
            device: where.
            rank: which of the processes this is; gradients are averaged over all.
            ranks: how many there are.
        """
        torch.manual_seed(plan.seed)
        self.plan, self.teacher, self.scenes, self.device = plan, teacher, scenes, device
        self.rank, self.ranks = rank, ranks
        self.random = np.random.default_rng((plan.seed, rank))
        self.scale = self._measured()
        self.student = self._new()
        self.average = self._new()
        self.pool = Pool(scenes, plan.pool, self.random)
        parameters = self.student.parameters()
        self.optimizer = torch.optim.AdamW(parameters, plan.rate, (0.9, 0.98), weight_decay=1e-4)
        self.step = 0
        self.done = 0.0

    def _new(self) -> EmbeddedNetwork:
        network = EmbeddedNetwork(norm=nn.BatchNorm2d)
        with torch.no_grad():
            for name, deviation in self.scale.deviation.items():
                reader = network.get_submodule(name).get_submodule("0")
                reader.get_parameter("weight").mul_(2 * deviation.view(-1, 1, 1, 1).cpu())
                reader.get_parameter("bias").copy_(self.scale.mean[name])
        network.to(memory_format=torch.channels_last)
        return network.to(self.device)

    @torch.no_grad()
    def _measured(self) -> Scale:
        random = np.random.default_rng(self.plan.seed)  # the same in all processes
        with self._mixed():
            return Scale([self.teacher(self._scenes(24, random)) for _ in range(16)])

    def _scenes(self, count: int, random: np.random.Generator) -> Tensor:
        numbers = np.sort(random.choice(len(self.scenes), count, replace=False))
        scenes = normalise(torch.from_numpy(self.scenes[numbers]).to(self.device))
        return varied(scenes, SEEN, random)

    def _mixed(self) -> AbstractContextManager[object]:
        """Compute in bf16 where that is fast; processors that only imitate it take minutes."""
        is_fast = choose_precision("auto", self.device) == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=is_fast)

    def resume(self, checkpoint: Path) -> None:
        """Go on from what `save` wrote: in the middle of the same plan, or with the next one."""
        found = torch.load(checkpoint, weights_only=True, map_location=self.device)
        self.student.load_state_dict(found["student"])
        self.average.load_state_dict(found["average"])
        if found["plan"] == asdict(self.plan) and found["done"] < 1:
            self.optimizer.load_state_dict(found["optimizer"])
            self.step, self.done = found["step"], found["done"]
        pool = checkpoint.with_suffix(f".pool{self.rank}.npy")
        if pool.exists():
            self.pool.pictures = np.load(pool)

    def save(self, checkpoint: Path) -> None:
        """Write student, average, plan and this process's pool, each at once or not at all."""
        if self.rank == 0:
            new = checkpoint.with_suffix(".new")
            state = {
                "student": self.student.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "plan": asdict(self.plan),
                "step": self.step,
                "done": self.done,
            }
            torch.save(state, new)
            new.replace(checkpoint)
        new = checkpoint.with_suffix(f".new{self.rank}.npy")
        np.save(new, self.pool.pictures)
        new.replace(checkpoint.with_suffix(f".pool{self.rank}.npy"))

    def run(self, each: Callable[[Trainer, dict[str, float]], None]) -> None:
        """Train for the plan's time; `each` gets the losses of every step."""
        plan, parameters = self.plan, list(self.student.parameters())
        started = time.monotonic() - self.done * plan.minutes * 60
        while self.done < 1:
            for group in self.optimizer.param_groups:
                group["lr"] = plan.rate * self._pace()
            self.student.train(self.done < plan.freeze)
            losses = self._losses()
            values = [value for name, value in losses.items() if name != "gradients"]
            loss = torch.stack(values).mean() + plan.gradients * losses.get("gradients", 0)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            self.done = self._agree((time.monotonic() - started) / 60 / plan.minutes)
            nn.utils.clip_grad_norm_(parameters, 1.0)
            self.optimizer.step()
            self._follow()
            self.step += 1
            each(self, {name: float(value.detach()) for name, value in losses.items()})

    def _pace(self) -> float:
        plan = self.plan
        ramp = min(1.0, (self.step + 1) / _RAMP)
        fallen = max(0.0, self.done - plan.hold) / max(1e-9, 1 - plan.hold)
        return ramp * (0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * min(1.0, fallen))))

    def _losses(self) -> dict[str, Tensor]:
        scenes = self._scenes(self.plan.scenes, self.random)
        with torch.no_grad(), self._mixed():
            wanted = self.teacher(scenes)
        image = students(scenes)
        handful, climbed, dreamed = self._dreamed()
        seen = torch.cat([image, students(handful.image)])
        wanted = {name: torch.cat([value, dreamed[name]]) for name, value in wanted.items()}
        thin = thinned(self.random)
        with self._mixed():
            losses = feature_loss(self.student, self._noisy(seen), wanted, self.scale, thin)
        own = self._own_gradient(handful) if self._needs_own() else None
        if own is not None and self._follows():
            inside = slice(_BORDER, -_BORDER)
            cosines = gradient_cosines(
                own[:, :, inside, inside], students(climbed)[:, :, inside, inside]
            )
            losses["gradients"] = 1 - torch.stack(cosines).mean()
        is_students = own is not None and self.step % 2 == 0
        gradient = own.detach() if own is not None and is_students else climbed
        self.pool.put_back(handful, gradient, is_students=is_students)
        return losses

    def _follows(self) -> bool:
        return self.plan.gradients > 0 and self.done >= self.plan.follow

    def _needs_own(self) -> bool:
        return self.step % 2 == 0 or self._follows()

    def _dreamed(self) -> tuple[Handful, Tensor, dict[str, Tensor]]:
        """Pictures of the pool, where the teacher would climb on them, and what it sees."""
        handful = self.pool.take(self.plan.dreams, self.device)
        image = handful.image.requires_grad_()
        with self._mixed():
            features = self.teacher(image)
        value = handful.climb.value(features[handful.climb.layer]).sum()
        (gradient,) = torch.autograd.grad(value, image)
        handful.image = image.detach()
        return handful, gradient, {name: value.detach() for name, value in features.items()}

    def _own_gradient(self, handful: Handful) -> Tensor:
        """Where the student, as it will be shipped, would climb; to be learned on if so planned."""
        was_training = self.student.training
        self.student.eval()
        image, layer = students(handful.image).requires_grad_(), handful.climb.layer
        with self._mixed():
            features = read(self.student, layer, self.student.see(image)[layer])
        value = handful.climb.value(features).sum()
        (gradient,) = torch.autograd.grad(value, image, create_graph=self._follows())
        self.student.train(was_training)
        return gradient

    def _noisy(self, image: Tensor) -> Tensor:
        """A third of the pictures get noise of their own strength, up to 9 grey levels."""
        some = len(image) // 3
        shape = (some, *image.shape[1:])
        noise = self.random.standard_normal(shape, np.float32)
        noise *= self.random.uniform(0, 0.15, (some, 1, 1, 1)).astype(np.float32)
        noisy = image.clone()
        noisy[:some] += torch.from_numpy(noise).to(self.device)
        return noisy

    def _agree(self, done: float) -> float:
        """Average gradients and time over the processes, now and then BatchNorm's statistics."""
        if self.ranks == 1:
            return done
        gradients = [value.grad for value in self.student.parameters() if value.grad is not None]
        together = torch.cat([value.reshape(-1) for value in gradients] + [torch.tensor([done])])
        distributed.all_reduce(together)
        together /= self.ranks
        sizes = [value.numel() for value in gradients]
        for value, mean in zip(gradients, torch.split(together[:-1], sizes), strict=True):
            value.copy_(mean.view_as(value))
        if self.step % 50 == 0:
            for statistic in self.student.buffers():
                if statistic.is_floating_point():
                    distributed.all_reduce(statistic)
                    statistic.div_(self.ranks)
        return float(together[-1])

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the student; it is what is measured and shipped."""
        share = max(0.002, 19 / (20 + self.step))
        pairs = zip(
            self.average.state_dict().values(), self.student.state_dict().values(), strict=True
        )
        for average, now in pairs:
            if average.is_floating_point():
                average.lerp_(now, share)
            else:
                average.copy_(now)
