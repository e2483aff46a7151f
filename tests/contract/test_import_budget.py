"""What is not asked for is not loaded: a form or a help text never waits for PyTorch."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

HEAVY = ("PIL", "numpy", "pluggy", "pydantic", "sympy", "torch", "torchvision")
REPORT = f"""
import json, sys
sys.stderr.write(json.dumps([name for name in {HEAVY} if name in sys.modules]))
"""
COMMAND = """
from reverie.cli import main
try:
    main({words})
except SystemExit as ended:
    assert not ended.code
"""
DREAM = """
import numpy, reverie
grey = numpy.linspace(0, 1, 3 * 40 * 40).reshape(40, 40, 3)
recipe = reverie.Recipe(octaves=1, steps=1, rotate=5)
assert (reverie.dream(grey, recipe, device="cpu") != grey).any()
"""


def loaded_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", code + REPORT],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_import_reverie_needs_the_standard_library_only() -> None:
    assert loaded_after("import reverie") == set()


def test_a_recipe_and_its_settings_need_no_arrays() -> None:
    assert loaded_after("import reverie; reverie.Recipe(); reverie.settings()") == {"pydantic"}


@pytest.mark.parametrize("words", [["--help"], ["dream", "--help"], ["presets"]], ids=" ".join)
def test_a_command_that_does_not_dream_loads_no_torch(words: list[str]) -> None:
    assert not loaded_after(COMMAND.format(words=words)) & {"torch", "torchvision", "numpy"}


def test_dreaming_with_the_embedded_network_loads_no_torchvision_and_no_sympy() -> None:
    """SymPy takes a second; PyTorch wants it to compile, and in some ways to ask for a gradient."""
    assert not loaded_after(DREAM) & {"torchvision", "sympy"}
