"""That the benchmark still runs and compares what it says; how fast anything is, is not tested."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def steps(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE / "steps.py"), "--networks", "embedded", *words]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )


def test_it_compares_every_precision_with_the_classic_loop_on_the_same_objective(
    tmp_path: Path,
) -> None:
    file = tmp_path / "figures.json"
    once = ("--rounds", "2", "--steps", "1", "--threads", "1")
    done = steps("--sizes", "64", *once, "--json", str(file))
    assert done.returncode == 0, done.stderr
    assert "NOT THE SAME OBJECTIVE" not in done.stdout
    assert "| classic / float32 |" in done.stdout
    assert "| embedded 64 |" in done.stdout
    (row,) = json.loads(file.read_text())
    assert {"classic", "float32", "bf16"} <= row["times"].keys()
    assert all(len(times) == 2 and min(times) > 0 for times in row["times"].values())
    assert all(floor > 0 for floor in row["floors"].values())


def test_a_peer_that_is_not_there_ends_it_with_a_sentence(tmp_path: Path) -> None:
    done = steps("--neural-dream", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path} is no checkout of that peer: it has no neural_dream.py.\n"


def test_the_comparison_for_gpus_runs_without_one() -> None:
    least = "--networks embedded --sizes 64 --rounds 1 --steps 1 --precisions float32"
    command = [sys.executable, str(HERE / "gpu.py"), "--device", "cpu", *least.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for kind in ("plain", "change", "laplacian"):
        assert f"| embedded 64 {kind} | " in done.stdout
    assert "slower than plain autograd: " in done.stdout


def test_one_turn_takes_one_step_more_than_count() -> None:
    code = """
from race import race, ratio
seen = []
def engine(name):
    def run(steps, tick):
        for _ in range(steps):
            tick()
        seen.append((name, steps))
    return run
times = race({name: engine(name) for name in "abc"}, 6, 2, lambda: None)
assert {name: len(each) for name, each in times.items()} == dict.fromkeys("abc", 6)
assert {steps for _, steps in seen} == {3}
turns = ["".join(name for name, _ in seen[at : at + 3]) for at in range(3, 21, 3)]
assert sorted(turns) == ["abc", "acb", "bac", "bca", "cab", "cba"], turns
assert ratio([2.0, 9.0, 30.0], [1.0, 3.0, 15.0]) == 2.0
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=HERE)
