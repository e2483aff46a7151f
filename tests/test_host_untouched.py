"""A plug-in must never touch its host: what belongs to the whole process stays as it is.

While one thread does everything that reverie does in a host, a second one runs a model of the
host's all the time, and looks at all that is one for the whole process. What it could miss because
it lasts too short a time is caught where it would be done.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import locale
import logging
import multiprocessing
import os
import random
import signal
import socket
import sys
import threading
import traceback
import urllib.request
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile, PngImagePlugin
from torch import nn
from torch.nn import functional
from torch.utils import _device, _python_dispatch

from reverie import Cancelled, Network, Recipe, ReverieError, dream, hookimpl, testing
from reverie.networks import zoo
from reverie.networks.loading import list_layers, load_network, release
from reverie.networks.weights import load_weights
from reverie.picture import read_picture, write_picture
from reverie.plugins import Registry
from reverie.plugins import registry as all_plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

    from reverie import Step

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning"),
]

EXAMPLE = Path(__file__).parent / "third_party" / "reverie_example" / "reverie_example.py"
PICTURE = torch.rand(1, 3, 64, 80, generator=torch.Generator().manual_seed(0))
QUICK = Recipe(octaves=1, steps=1, jitter=2, precision="float32")


# What is one for the whole process


def asked(ask: Callable[[], object]) -> object:
    try:
        return ask()
    except (RuntimeError, ValueError, AttributeError) as error:
        return type(error).__name__


OWNERS: dict[str, Any] = {
    "nn.Module": nn.Module,
    "nn.Sequential": nn.Sequential,
    "nn.Conv2d": nn.Conv2d,
    "torch.Tensor": torch.Tensor,
    "torch": torch,
    "torch.nn.functional": functional,
    "torch.nn.init": nn.init,
    "torch.overrides": torch.overrides,
    "torch.random": torch.random,
    "torch.utils._device": _device,
    "torch.utils._python_dispatch": _python_dispatch,
    "builtins": sys.modules["builtins"],
    "math": sys.modules["math"],
    "os": os,
    "sys": sys,
    "warnings": warnings,
    "logging": logging,
    "PIL.Image": Image,
    "PIL.ImageFile": ImageFile,
    "PIL.PngImagePlugin": PngImagePlugin,
    "numpy": np,
    "threading": threading,
    "urllib.request": urllib.request,
}
"""Whose attributes nobody may exchange."""
IGNORED = {
    ("sys", "last_exc"),
    ("torch.nn.functional", "__warningregistry__"),
    ("threading", "_shutdown_locks"),
    ("threading", "_dangling"),
    ("threading", "_limbo"),
    ("threading", "_active"),
    ("PIL.Image", "_initialized"),
}
"""What Python notes of threads and warnings, and that Pillow has loaded its formats, as
`Image.open` does."""


def settings() -> dict[str, object]:
    """Settings that are not an attribute, or whose content counts."""
    root, own = logging.getLogger(), logging.getLogger("reverie")
    found: dict[str, object] = {
        "grad mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")),
        "cudnn": (
            torch.backends.cudnn.enabled,
            torch.backends.cudnn.benchmark,
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.allow_tf32,
        ),
        "products": torch.get_float32_matmul_precision(),
        "oneDNN": torch.backends.mkldnn.enabled,
        "new names": asked(
            lambda: [
                torch._C._get_fp32_precision_getter(kind, what)
                for kind in ("cuda", "mkldnn")
                for what in ("conv", "rnn", "matmul", "all")
            ]
        ),
        "default type": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "new tensors": (torch.ones(1).dtype, torch.ones(1).device),
        "deterministic": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "tiny numbers": float(torch.tensor(1e-40) * 1) > 0,
        "generator": (torch.initial_seed(), hash(torch.get_rng_state().numpy().tobytes())),
        "other generators": (hash(random.getstate()), hash(str(np.random.get_state()))),  # noqa: NPY002
        "hooks of all modules": len(torch.nn.modules.module._global_forward_hooks),
        "hub": torch.hub.get_dir(),
        "environment": hash(frozenset(os.environ.items())),
        "folder": os.getcwd(),  # noqa: PTH109
        "mask of new files": _umask(),
        "language": locale.setlocale(locale.LC_ALL),
        "signals": [signal.getsignal(each) for each in sorted(signal.valid_signals())],
        "path": (*sys.path, *map(id, sys.meta_path), *map(id, sys.path_hooks)),
        "python": (
            sys.getrecursionlimit(),
            sys.getswitchinterval(),
            gc.isenabled(),
            gc.get_threshold(),
        ),
        "timeouts": socket.getdefaulttimeout(),
        "processes": multiprocessing.get_start_method(allow_none=True),
        "warnings": (id(warnings.filters), tuple(warnings.filters)),
        "log": [
            (each.level, each.propagate, each.disabled, tuple(each.handlers), tuple(each.filters))
            for each in (root, own)
        ],
        "numpy": tuple(np.geterr().items()),
        "stand-ins": [_is_false(sys.modules.get(f"torch._dynamo{end}")) for end in ("", ".utils")],
    }
    return found


def _umask() -> str:
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return next((line for line in status.splitlines() if line.startswith("Umask")), "")
    return ""


def _is_false(module: object) -> bool:
    """Whether a module stands in for another one: no loader has made it."""
    return module is not None and getattr(module, "__spec__", None) is None


class Host:
    """A thread of the host's: runs a model and looks at the process until it is told to stop."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self._model = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True)),
            nn.MaxPool2d(2),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(6 * 5 * 5, 4),
        ).eval()
        for weights in self._model.parameters():
            nn.init.normal_(weights, generator=generator)
        self._input = torch.rand(2, 3, 12, 12, generator=generator)
        self._expected = self._run()
        self._attributes = [
            (vars(owner), owner_name, name, value)
            for owner_name, owner in OWNERS.items()
            for name, value in vars(owner).items()
            if (owner_name, name) not in IGNORED
        ]
        self._settings = settings()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="host")
        self.faults: list[str] = []
        self.rounds = 0

    def _run(self) -> torch.Tensor:
        """Forward and backward, as in training, and without a gradient, as in use."""
        image = self._input.clone().requires_grad_()
        self._model(image).square().sum().backward()
        with torch.no_grad():
            used: torch.Tensor = self._model(self._input)
        assert image.grad is not None
        return torch.cat([used.flatten(), image.grad.flatten()])

    def _look(self) -> None:
        while not self._is_over.is_set():
            try:
                if not torch.equal(self._run(), self._expected):
                    self._note("the host's model gave other values")
                self._compare()
            except Exception as error:  # noqa: BLE001 - whatever it is, the host has got it
                self._note(f"the host's thread failed: {error!r:.200}")
            self.rounds += 1
            self._is_over.wait(0.02)  # so that what is watched goes on

    def _compare(self) -> None:
        now = settings()
        for name in self._settings.keys() | now.keys():
            if self._settings.get(name) != now.get(name):
                self._note(
                    f"{name}: {self._settings.get(name)!r:.200} became {now.get(name)!r:.200}"
                )
        for current, owner, name, value in self._attributes:
            if current.get(name) is not value:
                self._note(f"{owner}.{name} was exchanged")

    def _note(self, fault: str) -> None:
        if fault not in self.faults and len(self.faults) < 20:
            self.faults.append(fault)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._look_once()

    def _look_once(self) -> None:
        """What is left at the end."""
        self._compare()


# What changes it, however shortly


class Traps:
    """Notes who calls what changes the process, if reverie has led there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.caught: list[str] = []
        for owner, name in (
            (torch, "manual_seed"),
            (torch, "set_rng_state"),
            (torch.random, "fork_rng"),
            (torch, "set_default_dtype"),
            (torch, "set_default_device"),
            (torch, "set_num_threads"),
            (torch, "set_float32_matmul_precision"),
            (torch, "use_deterministic_algorithms"),
            (torch, "set_flush_denormal"),
            (torch.backends.cudnn, "set_flags"),
            (torch._C, "_set_cudnn_benchmark"),
            (torch._C, "_set_cudnn_deterministic"),
            (torch._C, "_set_cudnn_allow_tf32"),
            (torch._C, "_set_cudnn_enabled"),
            (torch._C, "_set_mkldnn_enabled"),
            (_device.DeviceContext, "__enter__"),
            (_python_dispatch.TorchDispatchMode, "__enter__"),
            (warnings, "simplefilter"),
            (warnings, "filterwarnings"),
            (warnings.catch_warnings, "__enter__"),
            (os, "putenv"),
            (os, "umask"),
            (os, "chdir"),
            (signal, "signal"),
            (socket, "setdefaulttimeout"),
            (sys, "setrecursionlimit"),
            (random, "seed"),
            (np.random, "seed"),
            (gc, "disable"),
            (gc, "freeze"),
            (logging, "basicConfig"),
            (urllib.request, "install_opener"),
            (multiprocessing, "set_start_method"),
        ):
            if hasattr(owner, name):
                monkeypatch.setattr(owner, name, self._noted(owner, name))

    def _noted(self, owner: Any, name: str) -> Any:
        whole = getattr(owner, name)

        def noted(*args: Any, **kwargs: Any) -> Any:
            stack = traceback.extract_stack()[:-1]
            ours = [f for f in stack if f"{os.sep}reverie{os.sep}" in f.filename]
            imports = any(frame.filename.startswith("<frozen importlib") for frame in stack)
            if ours and not imports:  # what a library does when it is loaded is its own
                where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
                self.caught.append(f"{where} called {owner.__name__}.{name}")
            return whole(*args, **kwargs)

        return noted


# What reverie does


class Drawn(nn.Module):
    """A stranger's network that draws its weights, in functional style, with in-place changes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.scale = torch.rand(1)
        nn.init.kaiming_normal_(self.last.weight)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        seen = functional.relu(self.norm(self.first(image)), inplace=True)
        seen = functional.local_response_norm(seen, 3)
        seen += self.scale
        result: torch.Tensor = self.last(seen)
        return result


class Undecided(nn.Module):
    """One that decides by what it sees, so that it cannot be written down."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Conv2d(3, 6, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        sign = 1 if float(image.detach().mean()) > -9 else -1
        result: torch.Tensor = self.only(image) * sign
        return result


def _fails(_path: Path | None) -> nn.Module:
    raise RuntimeError("it cannot be built")


@pytest.fixture
def _plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example package and some networks, beside what reverie brings itself."""
    spec = importlib.util.spec_from_file_location("reverie_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    made = {"drawn": lambda _: Drawn(), "undecided": lambda _: Undecided(), "failing": _fails}
    networks = [Network(name=name, summary="", load=load) for name, load in made.items()]
    own = SimpleNamespace(reverie_networks=hookimpl(specname="reverie_networks")(lambda: networks))
    found = Registry([("example", example), ("own", own)], installed=())
    all_plugins()
    for module in ("testing", "engine.prepare", "engine.dream", "networks.loading"):
        monkeypatch.setattr(f"reverie.{module}.registry", lambda: found)


def weights_files(folder: Path) -> Iterator[str]:
    """Random weights in each form, as recipes name them."""
    from safetensors.torch import save_file
    from torchvision.models import get_model

    with torch.random.fork_rng(devices=[]):
        small = get_model("squeezenet1_1", weights=None, num_classes=5).eval()
    save_file(small.state_dict(), folder / "a.safetensors")
    torch.save({"state_dict": small.state_dict()}, folder / "b.pth")
    torch.jit.script(small).save(folder / "c.pt")
    torch.save(small.state_dict(), folder / "d.pth", pickle_protocol=4)
    torch.save(small.half().state_dict(), folder / "e.pth", _use_new_zipfile_serialization=False)
    for file in ("a.safetensors", "b.pth", "c.pt", "d.pth", "e.pth"):
        yield f"squeezenet1_1:{folder / file}"


def lists() -> None:
    list_layers("embedded")
    zoo.untrained_layers(next(n for n in zoo.networks() if n.name == "shufflenet_v2_x0_5"))


def precisions() -> None:
    release()
    for precision in ("float32", "mixed", "bf16"):
        dream(PICTURE, QUICK.evolve(precision=precision), device="cpu")


def kinds() -> None:
    mask = torch.zeros(64, 80)
    mask[10:40, 20:60] = 1
    recipes: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
        ({}, {"guide": PICTURE.flip(3)}),
        ({"objective": "guide_mean(eyes)"}, {"guide": PICTURE.flip(3), "mask": mask}),
        ({}, {"regions": [(mask, "outlines"), (1 - mask, 'logit("castle")')]}),
        ({"objective": "caricature(eyes) - 0.1 * total_variation()"}, {}),
        ({"objective": "strongest(rings)", "colour": "palette"}, {}),
        ({"objective": "outlines", "edges": "tile"}, {"memory": 60_000_000}),
        ({"parameterization": "fourier", "optimizer": "adam", "start": "noise"}, {}),
        ({"rotate": 5.0, "scale": 0.1, "pad": 4, "noise": 0.1, "laplacian": 3}, {}),
    )
    for changes, given in recipes:
        dream(PICTURE, QUICK.evolve(**changes), device="cpu", on_tile=lambda: None, **given)


def plugins() -> None:
    testing.check_network("woven")
    for name in ("drawn", "undecided"):
        dream(PICTURE, QUICK.evolve(network=name), device="cpu")
        assert load_network(name).layers


def ends() -> None:
    def stop(_step: Step) -> None:
        raise Cancelled

    def fail(_step: Step) -> None:
        raise ZeroDivisionError

    for on_step in (stop, fail):
        with pytest.raises((Cancelled, ZeroDivisionError)):
            dream(PICTURE, QUICK, device="cpu", on_step=on_step)
    for recipe in (QUICK.evolve(network="failing"), QUICK.evolve(objective="no layer")):
        with pytest.raises(ReverieError):
            dream(PICTURE, recipe, device="cpu")


def threads() -> None:
    release()
    recipes = [QUICK.evolve(precision=each) for each in ("float32", "bf16")]
    recipes += [QUICK.evolve(network="drawn"), QUICK.evolve(objective="eyes", seed=3)]
    with ThreadPoolExecutor(4) as pool:
        first = list(pool.map(lambda recipe: dream(PICTURE, recipe, device="cpu"), recipes))
    again = [dream(PICTURE, recipe, device="cpu") for recipe in recipes]
    assert all(map(torch.equal, first, again))


def pictures(folder: Path) -> None:
    values = (PICTURE[0].permute(1, 2, 0) * 255).byte().contiguous().numpy()
    for ending in ("png", "jpg", "tif"):
        write_picture(folder / f"a.{ending}", values)
        read_picture(folder / f"a.{ending}")


@pytest.mark.usefixtures("_plugins")
def test_nothing_that_belongs_to_the_host_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = list(weights_files(tmp_path))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-3)  # the host's thread looks often
    try:
        traps = Traps(monkeypatch)
        with Host() as host:
            lists()
            precisions()
            for name in names:
                load_weights(name.partition(":")[2])
                dream(PICTURE, QUICK.evolve(network=name), device="cpu")
            kinds()
            plugins()
            ends()
            threads()
            pictures(tmp_path)
            release()
    finally:
        sys.setswitchinterval(interval)
    assert host.rounds > 100, "the host's thread had no turn"
    assert traps.caught == []
    assert host.faults == []
