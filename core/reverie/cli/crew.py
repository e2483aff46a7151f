"""The workers of a Ray cluster: started, given pictures, and replaced when they die."""

from __future__ import annotations

import sys
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.cli.dreamer import Dreamer
from reverie.cli.speech import say
from reverie.errors import ReverieError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType, TracebackType

    from typing_extensions import Self

    from reverie.cli.places import Job

AHEAD = 2
"""Pictures given to a worker: one to dream on, one that travels meanwhile."""

TRIES = 3
"""How many workers a picture, or the network, may take down before it is given up."""

MEMORY = 2 * 2**30
"""Bytes that a worker on a CPU reserves without --memory, so that many cores do not overfill a
machine: PyTorch takes about 0.7 GB, a picture of 4 megapixels in float32 the rest."""

PATIENCE = 30.0
"""Seconds without news after which the user is told what is waited for."""


@dataclass(eq=False)
class _Worker:
    actor: Any
    is_ready: bool = False
    given: dict[Any, Job] = field(default_factory=dict)
    """What it dreams and will dream, oldest first."""
    losses: int = 0
    """How often it died since it last finished something."""


class Crew:
    """Workers with a warm network each, one for each GPU of the cluster, else for its cores.

    Args:
        ray: the module, connected.
        order: what `Dreamer.load` takes.
        most: how many workers could be of use.
    Raises:
        ReverieError: the device that was asked for is not in the cluster.
    """

    def __init__(self, ray: ModuleType, order: dict[str, Any], *, most: int) -> None:
        self._ray = ray
        self._precision: str | None = None
        self._loading: dict[Any, _Worker] = {}
        count, device, needs = places(
            ray.nodes(), order["device"], order["threads"], order["memory"]
        )
        self._order = ray.put({**order, "device": device})
        remote = ray.remote(Dreamer).options(max_restarts=-1, max_task_retries=0, **needs)
        self._workers = [_Worker(remote.remote()) for _ in range(min(count, most))]
        for worker in self._workers:
            self._load(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Send the workers home; a lost connection is told in a sentence."""
        try:
            for worker in self._workers:
                self._ray.kill(worker.actor)
        except Exception:  # noqa: BLE001 - Ray ends them with this process at the latest
            self._workers.clear()
        if isinstance(error, (self._ray.exceptions.RayError, ConnectionError)):
            raise ReverieError(
                f"the Ray cluster was lost ({_in_short(error)}); the same command goes on."
            ) from None

    def precision(self) -> str:
        """Wait for the first worker, and give what the recipe's precision means to it."""
        while self._precision is None:
            self._hear()
        return self._precision

    def dreams(self, jobs: Sequence[Job], precision: str) -> Iterator[tuple[Job, dict[str, Any]]]:
        """Give each picture's dream as it comes, in any order, and every picture once.

        A worker that dies is started again. The picture it was dreaming on is dreamed elsewhere,
        up to `TRIES` times; those that only waited for it go on without blame.

        Returns:
            Pairs of a job and what `Dreamer.dream` says of it.
        Raises:
            ReverieError: no worker can dream.
        """
        todo, tries = deque(jobs), Counter[Path]()
        while todo or any(worker.given for worker in self._workers):
            for worker in self._workers:
                while todo and worker.is_ready and len(worker.given) < AHEAD:
                    job = todo.popleft()
                    if fault := self._give(worker, job, precision):
                        yield job, fault
            if (speaker := self._hear()) is None:
                continue
            yield from self._take(speaker)
            if speaker.is_ready:
                continue
            lost = list(speaker.given.values())
            speaker.given.clear()
            first = lost[0]
            tries[first.out] += 1
            if tries[first.out] < TRIES:
                say(f"reverie: a worker was lost; {first.photo} is dreamed again.", sys.stderr)
            else:
                lost.pop(0)
                sentence = f"{first.photo} ended {TRIES} workers, perhaps for lack of memory; "
                yield first, _fault(sentence + "set a size, or give --ray-cpus more.")
            todo.extendleft(reversed(lost))
            self._load(speaker)

    def _load(self, worker: _Worker) -> None:
        worker.is_ready = False
        self._loading[worker.actor.load.remote(self._order)] = worker

    def _give(self, worker: _Worker, job: Job, precision: str) -> dict[str, Any] | None:
        """Send a picture to a worker, or say why it cannot be read."""
        try:
            data = job.photo.read_bytes()
        except OSError as error:
            return _fault(f"{job.photo} cannot be read ({error.strerror}); copy it again.")
        dream = worker.actor.dream.remote(str(job.photo), data, str(job.out), precision)
        worker.given[dream] = job
        return None

    def _hear(self) -> _Worker | None:
        """Wait for news; give the worker if they are of a picture."""
        given = [ref for worker in self._workers for ref in worker.given]
        news, _ = self._ray.wait([*self._loading, *given], num_returns=1, timeout=PATIENCE)
        if not news:
            if not given:
                say("reverie: waiting for the cluster to start a worker ...", sys.stderr)
            return None
        if news[0] in self._loading:
            self._welcome(self._loading.pop(news[0]), news[0])
            return None
        return next(worker for worker in self._workers if news[0] in worker.given)

    def _welcome(self, worker: _Worker, loaded: Any) -> None:
        failures = self._ray.exceptions
        try:
            answer = self._ray.get(loaded)
        except failures.RayError as error:
            worker.losses += 1
            hopeless = isinstance(error, (failures.ActorDiedError, failures.RayTaskError))
            if not hopeless and worker.losses < TRIES:
                self._load(worker)
                return
            self._workers.remove(worker)
            if not self._workers:
                raise ReverieError(
                    f"no worker of the Ray cluster could start ({_in_short(error)}); install "
                    "the same release of reverie on every machine."
                ) from None
        else:
            if "fault" in answer:
                raise ReverieError(answer["fault"])
            worker.is_ready = True
            self._precision = self._precision or answer["precision"]

    def _take(self, worker: _Worker) -> Iterator[tuple[Job, dict[str, Any]]]:
        """Take from a worker all that it has finished, and notice if it has died."""
        for ref, job in list(worker.given.items()):
            if not self._ray.wait([ref], timeout=0)[0]:
                continue
            try:
                answer = self._ray.get(ref)
            except self._ray.exceptions.RayTaskError as error:  # a fault of ours, or a plug-in's
                answer = _fault(f"{job.photo} could not be dreamed ({_in_short(error)}).")
            except self._ray.exceptions.RayError:
                worker.is_ready = False
                continue
            worker.losses = 0
            del worker.given[ref]
            yield job, answer


def places(
    nodes: Sequence[dict[str, Any]], device: str, cores: int, memory: int | None = None
) -> tuple[int, str, dict[str, Any]]:
    """Decide how many workers a cluster has room for.

    Args:
        nodes: what `ray.nodes()` gives.
        device: as the command line takes it.
        cores: how many one worker computes with on the CPU.
        memory: bytes that one worker may take there; None: `MEMORY`, or what a machine has.
    Returns:
        Number of workers, their device, and what each of them reserves, as Ray's options. One for
        each GPU if there are any; else as many as the cores and the memory allow.
    Raises:
        ReverieError: the cluster has no such device, or no machine with so many cores or so much
            memory.
    """
    machines = [node["Resources"] for node in nodes if node["Alive"]]
    gpus = sum(int(machine.get("GPU", 0)) for machine in machines)
    if device not in {"auto", "cpu", "cuda", "xpu"}:
        raise ReverieError(
            f"device: {device!r} cannot be used with --ray, which chooses the GPU of each worker; "
            "allowed: auto, cpu, cuda, xpu."
        )
    if device != "cpu" and gpus:
        return gpus, device, {"num_gpus": 1, "num_cpus": 1}
    if device in {"cuda", "xpu"}:
        raise ReverieError(f"device: the Ray cluster has no GPU for {device!r}; use cpu or auto.")
    large = [machine for machine in machines if machine.get("CPU", 0) >= cores]
    if not large:
        most = max((machine.get("CPU", 0) for machine in machines), default=0)
        raise ReverieError(
            f"--ray-cpus: {cores} is more than a machine of the Ray cluster has; allowed: 1.."
            f"{most:g}."
        )
    free = [machine.get("memory", float("inf")) for machine in large]
    needed = int(min(MEMORY, *free)) if memory is None else memory
    count = sum(
        int(min(machine["CPU"] // cores, has // needed))
        for machine, has in zip(large, free, strict=True)
    )
    if not count:
        raise ReverieError(
            f"--memory: no machine of the Ray cluster has {needed / 1e9:.1f}G for a worker; give "
            f"at most {max(free) / 1e9:.1f}G."
        )
    return count, "cpu", {"num_cpus": cores, "memory": needed}


def _fault(sentence: str) -> dict[str, Any]:
    return {"fault": sentence, "for_all": False}


def _in_short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200].rstrip(".") if lines else type(error).__name__
