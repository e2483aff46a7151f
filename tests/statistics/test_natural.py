from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from reverie.engine.parameterization.colour import COLOURS, SPECTRUM

pytest.importorskip("skimage", reason="has the photos; pip install scikit-image")


def test_the_numbers_in_colour_py_are_those_of_the_pictures() -> None:
    path = Path(__file__).with_name("natural.py")
    specification = importlib.util.spec_from_file_location("natural", path)
    assert specification is not None
    assert specification.loader is not None
    natural = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(natural)
    squares = natural.pictures()
    matrix = natural.colours(squares)
    assert np.allclose(matrix, COLOURS, atol=2e-4)
    laws, misses = natural.spectrum(squares, matrix)
    assert np.allclose(laws, SPECTRUM, atol=2e-3)
    assert abs(misses[0]).max() < 0.18
