"""What a device is told for the whole process: as little, and for as short, as can be.

PyTorch keeps the settings for GPUs in every build, so that they are tested without one.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import backends

from reverie import Recipe, Step, device, dream
from reverie.device import ExactArithmetic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CUDA, CPU = torch.device("cuda"), torch.device("cpu")
HAS_BOTH = hasattr(backends.cuda.matmul, "fp32_precision")
"""This PyTorch has two settings for one thing."""


def settings() -> dict[str, object]:
    """All of them; what may not be asked at the moment says so."""
    asked: dict[str, Callable[[], object]] = {
        "enabled": lambda: backends.cudnn.enabled,
        "benchmark": lambda: backends.cudnn.benchmark,
        "deterministic": lambda: backends.cudnn.deterministic,
        "convolutions": lambda: backends.cudnn.allow_tf32,
        "products": lambda: backends.cuda.matmul.allow_tf32,
        "all products": torch.get_float32_matmul_precision,
    }
    if HAS_BOTH:
        for kind in ("cuda", "mkldnn"):
            for what in ("all", "conv", "rnn", "matmul"):
                asked[f"{kind} {what}"] = partial(_precision, kind, what)
    found: dict[str, object] = {}
    for each, ask in asked.items():
        try:
            found[each] = ask()
        except RuntimeError:
            found[each] = "refused"
    return found


def _precision(kind: str, what: str) -> object:
    return torch._C._get_fp32_precision_getter(kind, what)


def _as_at_start() -> None:
    if HAS_BOTH:
        for kind in ("cuda", "mkldnn"):
            for what in ("conv", "rnn", "matmul", "all"):
                torch._C._set_fp32_precision_setter(kind, what, "none")
        backends.fp32_precision = "none"  # type: ignore[attr-defined]
    torch.set_float32_matmul_precision("highest")
    backends.cudnn.allow_tf32 = True
    backends.cudnn.benchmark = backends.cudnn.deterministic = False


@pytest.fixture(autouse=True)
def _own_settings() -> Iterator[None]:
    _as_at_start()
    yield
    _as_at_start()


def _old_names() -> None:
    torch.set_float32_matmul_precision("medium")
    backends.cudnn.benchmark = True


def _new_names() -> None:
    backends.cuda.matmul.fp32_precision = "tf32"
    backends.cudnn.conv.fp32_precision = "tf32"  # type: ignore[attr-defined]
    backends.mkldnn.matmul.fp32_precision = "bf16"  # type: ignore[attr-defined]
    backends.mkldnn.conv.fp32_precision = "bf16"  # type: ignore[attr-defined]


def _one_for_all() -> None:
    backends.fp32_precision = "tf32"  # type: ignore[attr-defined]


HOSTS = [lambda: None, _old_names, *([_new_names, _one_for_all] if HAS_BOTH else [])]
IN_SHORT = {"tf32", "bf16"}


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest) -> Callable[[], None]:
    """A program's own settings."""
    made: Callable[[], None] = request.param
    return made


@pytest.fixture
def _fast_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "multiplies_in_bf16", lambda: True)


@pytest.mark.usefixtures("_fast_cpu")
@pytest.mark.parametrize("where", [CPU, CUDA])
def test_the_programs_settings_come_back_as_they_were(
    host: Callable[[], None], where: torch.device
) -> None:
    host()
    before = settings()
    for _ in range(2):
        with ExactArithmetic(where):
            pass
        assert settings() == before


def test_a_gpu_is_exact_inside_whatever_the_program_wants(host: Callable[[], None]) -> None:
    host()
    with ExactArithmetic(CUDA):
        inside = settings()
    assert not inside["benchmark"]
    assert inside["deterministic"]
    assert inside["convolutions"] in {False, "refused"}
    assert inside["all products"] in {"highest", "refused"}
    assert not IN_SHORT & {inside.get("cuda conv"), inside.get("cuda matmul")}


@pytest.mark.usefixtures("_fast_cpu")
def test_a_cpu_that_can_multiply_in_bf16_does_not_in_float32(host: Callable[[], None]) -> None:
    host()
    with ExactArithmetic(CPU):
        inside = settings()
    assert not IN_SHORT & {inside.get("mkldnn conv"), inside.get("mkldnn matmul")}
    assert inside["benchmark"] == settings()["benchmark"], "no GPU has to do with it"


@pytest.mark.parametrize("where", [CPU, torch.device("mps"), torch.device("xpu")])
def test_a_device_that_obeys_no_setting_changes_none(
    host: Callable[[], None], where: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "_may_round_float32", lambda: False)
    host()
    before = settings()
    with ExactArithmetic(where):
        assert settings() == before


@pytest.mark.usefixtures("_fast_cpu")
@pytest.mark.parametrize("where", [CPU, CUDA])
def test_what_the_program_may_ask_it_may_ask_inside(where: torch.device) -> None:
    """PyTorch refuses to tell one of two settings while the other says something else."""
    _old_names()
    with ExactArithmetic(where):
        assert "refused" not in settings().values()


def test_what_the_program_sets_meanwhile_stays() -> None:
    backends.cudnn.benchmark = True
    with ExactArithmetic(CUDA):
        torch.set_float32_matmul_precision("high")
        backends.cudnn.deterministic = False
    assert torch.get_float32_matmul_precision() == "high"
    assert not backends.cudnn.deterministic
    assert backends.cudnn.benchmark


def test_of_two_threads_the_last_one_sets_back() -> None:
    backends.cudnn.benchmark = True
    first, second = ExactArithmetic(CUDA), ExactArithmetic(CUDA)
    with ThreadPoolExecutor(1) as other:
        first.__enter__()
        other.submit(second.__enter__).result()
        first.__exit__(None, None, None)
        assert not backends.cudnn.benchmark
        other.submit(second.__exit__, None, None, None).result()
    assert backends.cudnn.benchmark


def test_a_failure_inside_sets_back_too() -> None:
    backends.cudnn.benchmark = True
    with pytest.raises(ZeroDivisionError), ExactArithmetic(CUDA):
        _ = 1 / 0
    assert backends.cudnn.benchmark


def test_while_the_callers_code_runs_the_callers_settings_hold(
    picture: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = {"is exact": False}
    seen: dict[str, set[bool]] = {"gradient": set(), "on_step": set(), "on_tile": set()}
    setting = device._Setting(
        lambda: now["is exact"], lambda value: now.update({"is exact": value}), (True,)
    )
    monkeypatch.setattr(device, "_settings", lambda _kind: [setting])

    def note(what: str) -> None:
        seen[what].add(now["is exact"])

    def grad(*args: Any, **kwargs: Any) -> Any:
        note("gradient")
        return found(*args, **kwargs)

    def on_step(step: Step) -> None:
        step.result()
        note("on_step")

    found = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", grad)
    recipe = Recipe(octaves=2, steps=2, precision="float32")
    dream(picture, recipe, device=CPU, on_step=on_step, on_tile=lambda: note("on_tile"))
    assert seen == {"gradient": {True}, "on_step": {False}, "on_tile": {False}}
    assert not now["is exact"]
