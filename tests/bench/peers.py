"""Other DeepDreams, driven as they are shipped from a checkout of yours.

None of their code is here: it is imported from the folder given, and what is timed is their own
functions and closures. All get the network, layer and picture size that the others get. One step
is, in each:

gordicaleksa/pytorch-deepdream
    The body of the inner loop of `deep_dream_static_image`: `random_circular_spatial_shift`,
    `gradient_ascent` (forward, backward, three 9 x 9 Gaussians, normalization, update, clip), and
    the shift back. GoogLeNet is its own class, which runs on to inception4e whatever the layer; it
    has no class for the other networks, which are given as one that ends at the layer, the best
    case for it.

ProGamerGov/neural-dream
    `optimizer.step(feval)` of the script's `main`, which is run up to its first step and held
    there: Adam, jitter, the whole network, the loss from its own hook. Options are its defaults,
    but for one octave. It has no loader for these weights, so its loader is replaced by one that
    hands the network over.

greentfrapp/lucent
    `optimizer.step(closure)` of `render_vis`, which is held at its first step likewise: Adam, the
    whole network, hooks on every layer. To be near the others it gets pixels rather than its
    Fourier image, and one jitter as the only transform, which makes it faster than its defaults
    are. It computes gradients of the weights too, as its examples do; `lucent frozen` is the same
    with frozen weights, which no example does.

They choose a GPU by themselves where there is one.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from unittest import mock

import torch
from torch import Tensor, nn

from networks import private
from reverie.types import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from engines import Engine
    from networks import BenchNetwork
    from race import Run


class MissingPeerError(Exception):
    """A peer cannot be run; its text says what to do."""


@contextlib.contextmanager
def _checkout(folder: Path, has: str) -> Iterator[None]:
    """Import from a checkout and leave it as it is."""
    if not (folder / has).is_file():
        raise MissingPeerError(f"{folder} is no checkout of that peer: it has no {has}.")
    sys.path.insert(0, str(folder))
    try:
        with (
            mock.patch.object(sys, "dont_write_bytecode", True),
            mock.patch("os.makedirs"),  # gordicaleksa's makes its output folders when imported
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    except ModuleNotFoundError as error:
        raise MissingPeerError(
            f"{folder} needs the package {error.name!r}; install it into an environment of its "
            "own, or leave this peer out."
        ) from error
    finally:
        sys.path.remove(str(folder))


def pytorch_deepdream(folder: Path, network: BenchNetwork, device: torch.device) -> Engine:
    """See above."""
    with _checkout(folder, "deepdream.py"):
        script = importlib.import_module("deepdream")
        definition = importlib.import_module("models.definitions.googlenet")
    if network.name == "GoogLeNet":
        whole = private(network.whole)
        with mock.patch("torchvision.models.googlenet", return_value=whole):
            model = definition.GoogLeNet("IMAGENET", requires_grad=False)
        layers = [model.layer_names.index(network.layer)]
    else:
        model, layers = _Listed(private(network.cut)), [0]
    model.to(device)
    shift = script.utils.random_circular_spatial_shift
    config = {"num_gradient_ascent_iterations": 10, "smoothing_coefficient": 0.5, "lr": 0.09}

    def start(image: Tensor) -> Run:
        normal = _normalized(image)

        def run(steps: int, tick: Callable[[], None]) -> None:
            picture = normal.clone()
            for step in range(steps):
                picture = shift(picture, 13, -21)
                script.gradient_ascent(config, model, picture, layers, step)
                picture = shift(picture, 13, -21, should_undo=True)
                tick()

        return _quiet(run)

    return start


class _Listed(nn.Module):
    """What gordicaleksa's loop wants from a network: a list of activations."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, image: Tensor) -> list[Tensor]:
        return [self.module(image)]


def _normalized(image: Tensor) -> Tensor:
    mean, std = (
        torch.tensor(value, device=image.device).view(1, 3, 1, 1)
        for value in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return (image - mean) / std


def neural_dream(folder: Path, network: BenchNetwork, device: torch.device) -> Engine:
    """See above."""
    name = "neural_dream.py"
    gpu = ["-gpu", "0", "-backend", "cudnn"] if device.type == "cuda" else ["-gpu", "c"]
    words = ["-dream_layers", network.layer.replace(".", "/"), "-model_type", "pytorch"]
    with _checkout(folder, name), mock.patch.object(sys, "argv", [name, *gpu, *words]):
        spec = importlib.util.spec_from_file_location("neural_dream_script", folder / name)
        if spec is None or spec.loader is None:
            raise MissingPeerError(f"{folder / name} cannot be loaded.")
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
    model: Any = private(network.whole).to(device)
    model.has_inception = True  # hooks on modules, as for its own GoogLeNet
    setup = script.setup_optimizer
    _replace(script, "loadCaffemodel", lambda *_: (model, ""))
    _replace(script, "setup_optimizer", lambda image: (_Held(setup(image)[0]), 0))
    script.params.num_octaves = 1

    def start(image: Tensor) -> Run:
        from torchvision.transforms.functional import to_pil_image

        with tempfile.TemporaryDirectory() as place:
            file = Path(place, "picture.png")
            to_pil_image(image[0].cpu()).save(file)
            script.params.content_image = str(file)
            script.params.image_size = max(image.shape[2:])
            with contextlib.redirect_stdout(io.StringIO()):
                return _hold(script.main)

    return start


def _replace(module: ModuleType, name: str, value: object) -> None:
    setattr(module, name, value)


def lucent(
    folder: Path, network: BenchNetwork, device: torch.device, *, frozen: bool = False
) -> Engine:
    """See above."""
    with _checkout(folder, "lucent/optvis/render.py"):
        optvis = importlib.import_module("lucent.optvis.render")
    model = private(network.whole).requires_grad_(requires_grad=not frozen).to(device)
    layer = network.layer.replace(".", "_")

    def start(image: Tensor) -> Run:
        def pixels() -> tuple[list[Tensor], Callable[[], Tensor]]:
            height, width = image.shape[2:]
            parameters, show = optvis.param.image(width, height, fft=False, decorrelate=False)
            parameters[0].data.copy_(torch.logit(image, eps=1e-3))
            return parameters, show

        def render() -> None:
            for part in model.modules():  # its hooks would stay on the model for good
                part._forward_hooks.clear()
            optvis.render_vis(
                model,
                lambda activations: -activations(layer).square().mean(),
                pixels,
                optimizer=lambda parameters: _Held(torch.optim.Adam(parameters, lr=5e-2)),
                transforms=[optvis.transform.jitter(8)],
                progress=False,
                show_image=False,
            )

        return _hold(render)

    return start


class _Held:
    """Stands for an optimizer and stops whoever asks for the first step, with its closure."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer

    def zero_grad(self) -> None:
        self._optimizer.zero_grad()

    def step(self, closure: Callable[[], Any]) -> NoReturn:
        raise _FirstStep(self._optimizer, closure)


class _FirstStep(Exception):  # noqa: N818 - it ends a call, nothing failed
    """Carries what makes a step out of a program that would take them all by itself."""

    def __init__(self, optimizer: torch.optim.Optimizer, closure: Callable[[], Any]) -> None:
        super().__init__()
        self.optimizer = optimizer
        self.closure = closure


def _hold(program: Callable[[], object]) -> Run:
    """Run a program up to its first step, and give its steps."""
    try:
        program()
    except _FirstStep as first:
        optimizer, closure = first.optimizer, first.closure
    else:
        raise MissingPeerError("this version of the peer takes no step with a closure.")

    def run(steps: int, tick: Callable[[], None]) -> None:
        for _ in range(steps):
            optimizer.step(closure)
            tick()

    return _quiet(run)


def _quiet(run: Run) -> Run:
    """Hide what old code makes a new PyTorch say."""

    def quietly(steps: int, tick: Callable[[], None]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run(steps, tick)

    return quietly
