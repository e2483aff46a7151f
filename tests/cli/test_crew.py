"""How many workers a cluster has room for, and what each of them reserves."""

from __future__ import annotations

from typing import Any

import pytest

from reverie.cli.crew import MEMORY, places
from reverie.errors import ReverieError


def node(cores: float, gpus: float = 0, memory: float = 64, *, alive: bool = True) -> Any:
    resources = {"CPU": cores, "GPU": gpus, "memory": memory * 2**30, "node:10.0.0.1": 1.0}
    return {"Alive": alive, "Resources": {k: v for k, v in resources.items() if v}}


def test_a_worker_for_each_core() -> None:
    nodes = [node(8), node(4), node(4, alive=False)]
    assert places(nodes, "auto", 1) == (12, "cpu", {"num_cpus": 1, "memory": MEMORY})


def test_more_cores_for_each_worker_give_fewer_on_every_machine() -> None:
    assert places([node(8), node(4), node(2)], "cpu", 3)[0] == 3


def test_memory_limits_the_workers_of_a_machine() -> None:
    assert places([node(64, memory=16)], "cpu", 1)[0] == 8


def test_a_small_machine_still_has_one_worker() -> None:
    count, _, needs = places([node(4, memory=1.5)], "cpu", 1)
    assert (count, needs["memory"]) == (1, int(1.5 * 2**30))


def test_a_worker_reserves_the_memory_that_it_may_take() -> None:
    count, _, needs = places([node(64, memory=16), node(8, memory=6)], "cpu", 1, 8 * 2**30)
    assert (count, needs["memory"]) == (2, 8 * 2**30)
    with pytest.raises(ReverieError, match=r"no machine of the Ray cluster has 8.6G for a worker"):
        places([node(8, memory=6)], "cpu", 1, 8 * 2**30)


def test_gpus_come_first_unless_the_cpu_is_asked_for() -> None:
    nodes = [node(16, gpus=4), node(64, memory=128)]
    assert places(nodes, "auto", 1) == (4, "auto", {"num_gpus": 1, "num_cpus": 1})
    assert places(nodes, "cuda", 2)[:2] == (4, "cuda")
    assert places(nodes, "cpu", 1)[:2] == (80, "cpu")


@pytest.mark.parametrize(
    ("device", "cores", "words"),
    [
        ("cuda", 1, "the Ray cluster has no GPU for 'cuda'"),
        ("cuda:1", 1, "'cuda:1' cannot be used with --ray"),
        ("mps", 1, "allowed: auto, cpu, cuda, xpu"),
        ("auto", 9, "--ray-cpus: 9 is more than a machine of the Ray cluster has; allowed: 1..8."),
    ],
)
def test_what_a_cluster_does_not_have_is_said(device: str, cores: int, words: str) -> None:
    with pytest.raises(ReverieError, match=words.replace(".", r"\.")):
        places([node(8), node(2)], device, cores)
