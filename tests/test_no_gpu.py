"""Tests say which device they mean: all but those marked gpu see none, wherever they run.

And those that are marked run with the CPU standing in, a few here, all of them by
`REVERIE_TEST_DEVICE=cpu python -m pytest tests/gpu`, in minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
SAMPLE = (
    "engine/test_dream.py::test_it_dreams_alike_in_any_grad_mode",
    "engine/test_dream.py::test_unknown_and_absent_devices_are_named",
    "engine/test_dream.py::test_steps_tell_where_the_dream_is",
    "cli/test_dream.py::test_size_is_the_longest_side",
    "comfyui/test_dream_node.py::test_the_dream_is_that_of_the_core",
)
"""Tests that leave the device to reverie: in Python, on the command line and in a node."""


def pytest_with_a_gpu(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run pytest on a machine that seems to have a GPU; who takes it fails."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, "-p", "pretended_gpu", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=TESTS.parent,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )


def test_no_test_takes_a_gpu_that_is_there() -> None:
    done = pytest_with_a_gpu("-m", "not gpu", *(TESTS / each for each in SAMPLE))
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout


WITNESS = """
import os, subprocess, sys, torch, pytest
from reverie.device import choose_device

def visible():
    code = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()

@pytest.fixture(scope="module")
def early():
    return choose_device("auto").type

def test_one(early):
    assert choose_device("auto").type == early == EARLY
    assert visible() == "-1"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "99"

@pytest.mark.gpu
def test_marked():
    assert choose_device("auto").type == "cuda"
    assert visible() == "99"

def test_after_it():
    assert choose_device("auto").type == "cpu"
    assert visible() == "-1"
"""


def test_only_tests_that_say_so_see_a_gpu(tmp_path: Path) -> None:
    witness = tmp_path / "test_witness.py"
    witness.write_text(WITNESS.replace("EARLY", "'cpu'"))
    done = pytest_with_a_gpu("-p", "conftest", "-c", TESTS.parent / "pyproject.toml", witness)
    assert "3 passed" in done.stdout, done.stdout


def test_those_for_a_gpu_run_with_the_cpu_standing_in() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/gpu"]
    few = "(embedded-float32 and not padded) or laplacian or halved or recorded"
    done = subprocess.run(
        [*command, "-k", few],
        capture_output=True,
        text=True,
        check=False,
        cwd=TESTS.parent,
        env={**os.environ, "REVERIE_TEST_DEVICE": "cpu"},
    )
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout
