"""All implementations of the kernels that this machine can run."""

from __future__ import annotations

import ctypes

import pytest

from reverie.engine.kernels import Kernels, build
from reverie.engine.kernels.compiled import CompiledKernels, variants
from reverie.engine.kernels.plain import PlainKernels


@pytest.fixture(params=["plain", "v4", "v3", "base"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    if request.param == "plain":
        return PlainKernels()
    path = build.find()
    if path is None:
        pytest.skip("not compiled; run: python -m reverie.engine.kernels.build")
    if request.param not in variants(ctypes.CDLL(str(path))):
        pytest.skip(f"this processor, or the library, does not have {request.param}")
    return CompiledKernels(path, request.param)
