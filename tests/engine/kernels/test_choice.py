"""Which kernels run, and that wrong ones do not."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch

from reverie.engine import kernels
from reverie.engine.kernels import Kernels, Window, build, choose, describe
from reverie.engine.kernels.check import differences
from reverie.engine.kernels.compiled import CompiledKernels
from reverie.engine.kernels.plain import PlainKernels
from reverie.errors import ReverieError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(kernels.VARIABLE, raising=False)
    monkeypatch.setattr(kernels, "_chosen", kernels._chosen.__wrapped__)


def compiled() -> CompiledKernels:
    path = build.find()
    if path is None:
        pytest.skip("not compiled; run: python -m reverie.engine.kernels.build")
    return CompiledKernels(path)


def test_the_variable_forces_the_plain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kernels.VARIABLE, "plain")
    assert isinstance(choose(), PlainKernels)
    assert describe() == "plain kernels: REVERIE_KERNELS is set"
    monkeypatch.setenv(kernels.VARIABLE, "fast")
    with pytest.raises(ReverieError, match="'fast' is unknown; set it to plain"):
        choose()


def test_the_compiled_ones_run_where_they_are_built() -> None:
    path = compiled().path
    assert isinstance(choose(torch.device("cpu")), CompiledKernels)
    assert str(path) in describe()
    assert isinstance(choose(torch.device("cuda")), PlainKernels)


def test_without_a_library_the_plain_ones_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "find", lambda: None)
    assert isinstance(choose(), PlainKernels)
    assert "python -m reverie.engine.kernels.build" in describe()


def test_a_library_that_cannot_be_loaded_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    library = tmp_path / "kernels.so"
    library.write_bytes(b"not a library")
    monkeypatch.setattr(build, "find", lambda: library)
    assert isinstance(choose(), PlainKernels)
    assert "cannot be loaded" in describe()


def test_a_library_that_computes_wrongly_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled()
    right = CompiledKernels.silu
    monkeypatch.setattr(CompiledKernels, "silu", lambda self, x, *add: right(self, x, *add) + 0.1)
    assert isinstance(choose(), PlainKernels)
    assert "computes silu of torch.float32 wrongly" in describe()


def test_equal_kernels_have_no_differences() -> None:
    assert differences(PlainKernels(), PlainKernels()) == ""


def test_importing_the_kernels_loads_no_torch() -> None:
    code = "import sys, reverie.engine.kernels; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda k, x: k.positive(x.half()), "float32 or bfloat16"),
        (lambda k, x: k.masked(x, k.positive(x)[:-9]), "is not of a map of"),
        (lambda k, x: k.masked(x, torch.zeros(4, dtype=torch.bool)), "is not of a map of"),
        (lambda k, x: k.split(x, None, [3]), "3 given, 8 needed"),
        (lambda k, x: k.concat([x, x[:, :, 1:]], want_mask=False), "does not fit"),
        (lambda k, x: k.max_pool(x, Window((7, 7), (1, 1), (0, 0)), closed=True), "smaller"),
        (
            lambda k, x: k.max_pool_backward(x, x.byte(), Window((2, 2), (2, 2), (0, 0)), (6, 6)),
            "is not what Window",
        ),
        (lambda k, x: k.egest(x, (6, 6), (0, 0), (0, 0, 0, 0), False), "8 given, 3 needed"),
        (
            lambda k, x: k.ingest(x, (0, 0), (0, 0, 0), (0, 0, 0, 0), False, torch.float32),
            "must be .N, 3, H, W. float32",
        ),
        (lambda k, x: k.silu_backward(x, x[:, :, 1:]), "is not the size of x"),
    ],
)
def test_what_does_not_fit_never_reaches_c(call: object, sentence: str) -> None:
    x = torch.rand(1, 8, 6, 6).contiguous(memory_format=torch.channels_last)
    assert callable(call)
    with pytest.raises(ValueError, match=sentence):
        call(compiled(), x)


def test_maps_in_another_order_give_the_same(kernels: Kernels) -> None:
    x = torch.rand(2, 12, 6, 6) - 0.5
    window = Window((2, 2), (2, 2), (0, 0))
    dense = x.contiguous(memory_format=torch.channels_last)
    for one, other in zip(
        kernels.max_pool(x, window, closed=False),
        kernels.max_pool(dense, window, closed=False),
        strict=True,
    ):
        assert torch.equal(one, other)
