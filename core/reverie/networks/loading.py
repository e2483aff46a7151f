"""Loads networks by name, knows their layers, and runs them as far as the layers asked for."""

from __future__ import annotations

import copy
import gc
import hashlib
import logging
import threading
from collections import OrderedDict
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from reverie.device import own_grad_mode
from reverie.errors import NetworkError, ReverieError, WeightsError, unknown_name
from reverie.networks import weights as weight_files
from reverie.networks import zoo
from reverie.networks.folding import fold_batch_norm, replace_module
from reverie.networks.layers import Layer, find_layers
from reverie.objectives import INPUT
from reverie.plugins import find, registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from torch import Tensor

    from reverie.types import Network

_log = logging.getLogger(__name__)

_LOADING = threading.RLock()
"""Held while a network is loaded or prepared."""
_KEPT = 2
"""How many networks stay loaded; the largest of torchvision's take 2.5 GB."""
_PREPARED = 4
"""How many prepared copies of one network stay: a few objectives and devices."""
_SMALLEST_SIDE = 32
"""px; below this no usual network has anything left to see."""
_HEADS = {"Conv2d", "Linear"}
"""The modules that may end a classifier."""
_UNKNOWN_REACH = 256
"""px around a selection for networks whose receptive field is unknown or endless."""


def load_network(
    name: str, *, on_progress: Callable[[int, int | None], None] | None = None
) -> LoadedNetwork:
    """Load a network by its name in a recipe.

    Args:
        name: a registered network, or NAME:FILE to give it weights of your own.
        on_progress: bytes so far and in all, while weights are downloaded.
    Raises:
        NetworkError: the name is unknown, or the network cannot take pictures.
        WeightsError: its weights are missing, damaged or do not fit.
    """
    known, _, file = name.partition(":")
    record = find("network", registry().networks(), known)
    path = weight_files.own_weights(file) if file else None
    if path is None and record.weights is not None:
        path = weight_files.fetch_weights(record.weights(), on_progress=on_progress)
    with _LOADING:  # two threads that want the same network must not load it twice
        return _load(known, path, path.stat().st_mtime_ns if path is not None else 0)


def list_layers(name: str) -> tuple[Mapping[str, Layer], str]:
    """List a network's layers in their order, and say which is the default; nothing is downloaded.

    Args:
        name: as in a recipe; with a FILE, that file's network is loaded.
    Raises:
        NetworkError: the name is unknown, or its layers can only be seen with weights that are not
            here.
    """
    known, _, file = name.partition(":")
    record = find("network", registry().networks(), known)
    if not file and zoo.has_untrained(record):
        layers = _untrained_layers(known)
        return layers, _default_layer(record, layers)
    if not file and record.weights and weight_files.find_weights(record.weights()) is None:
        raise NetworkError(
            f"the layers of {known!r} can be listed when its weights are here; "
            f"run: reverie networks fetch {known}"
        )
    network = load_network(name)
    return network.layers, network.default_layer


@cache
def _untrained_layers(name: str) -> Mapping[str, Layer]:
    return zoo.untrained_layers(registry().networks()[name])


def release() -> None:
    """Forget all loaded networks, so that their memory, a GPU's too, can be used by others.

    The next dream loads its network again.
    """
    with _LOADING:
        _load.cache_clear()
    gc.collect()  # recorded steps and what they record hold each other
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@lru_cache(maxsize=_KEPT)
def _load(name: str, path: Path | None, _changed: int) -> LoadedNetwork:
    record = registry().networks()[name]
    # Not on the caller's default device, and without drawing from the caller's random numbers.
    with own_grad_mode(), torch.device("cpu"), torch.random.fork_rng(devices=[]):
        try:
            module = record.load(path).float().eval().requires_grad_(requires_grad=False)
        except ReverieError:
            raise
        except Exception as error:
            # A state dict that does not fit, or a fault in somebody else's network.
            reason = " ".join(line.strip() for line in str(error).strip().splitlines()[:3])
            fault = (
                f"the weights {str(path)!r} do not fit the network {name!r}: {reason[:300]}"
                if path is not None
                else f"the network {name!r} cannot be built: {type(error).__name__}: {reason[:300]}"
            )
            raise WeightsError(fault) from error
        for part in module.modules():  # an in-place ReLU would change what a layer before it gave
            if hasattr(part, "inplace"):
                setattr(part, "inplace", False)  # noqa: B010 - nn.Module types attributes as tensors
        return LoadedNetwork(record, module)


class LoadedNetwork:
    """A network in memory, frozen, float32 on the CPU.

    Attributes:
        record: the plug-in's description.
        layers: its layers by name, in the order in which they run.
    """

    def __init__(self, record: Network, module: nn.Module) -> None:
        self.record = record
        self._module = module
        self.layers: Mapping[str, Layer] = find_layers(module, record.window)
        self._prepared: OrderedDict[tuple[object, ...], PreparedNetwork] = OrderedDict()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all weights, as hexadecimal digits: two networks that agree dream alike."""
        digest = hashlib.sha256()
        for name, value in sorted(self._module.state_dict().items()):
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            digest.update(value.contiguous().view(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    @property
    def default_layer(self) -> str:
        """The layer to dream when none is named: the record's, or a block at a stride of 16 px."""
        return _default_layer(self.record, self.layers)

    def layer(self, name: str) -> Layer:
        """Look up a layer by its name or alias.

        Raises:
            NetworkError: there is none; the sentence has the nearest right ones.
        """
        return _find_layer(self.record, self.layers, name)

    @property
    def head(self) -> Layer:
        """The layer with one channel for each class.

        Raises:
            NetworkError: it does not classify.
        """
        if self.record.head:
            return self.layer(self.record.head)
        found = [layer for layer in self.layers.values() if layer.kind in _HEADS]
        if self.record.words is None or not found:
            raise NetworkError(
                f"network: {self.record.name!r} has no classes; choose a classifier for logit(...),"
                " such as squeezenet1_0."
            )
        return found[-1]

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words of its classes; none where these weights are for another set of classes."""
        words = () if self.record.words is None else tuple(self.record.words())
        return words if len(words) == self.head.channels else ()

    def smallest_side(self, layers: Iterable[str]) -> int:
        """How many px a picture needs in each direction so that these layers see anything."""
        return max(_SMALLEST_SIDE, 2 * self.stride(layers))

    def stride(self, layers: Iterable[str]) -> int:
        """How many px the outputs of the coarsest of these layers are apart."""
        return max([1, *(self.layer(name).stride or 1 for name in layers if name != INPUT)])

    def reach(self, layers: Iterable[str]) -> int:
        """How many px around a pixel its gradient depends on: the largest receptive field.

        Where that is the whole picture or unknown, 256 px.
        """
        fields = [1 if n == INPUT else self.layer(n).receptive_field for n in layers]
        return max([1, *(_UNKNOWN_REACH if field is None else field for field in fields)])

    def prepare(
        self, layers: Iterable[str], device: torch.device, dtype: torch.dtype
    ) -> PreparedNetwork:
        """Make the network ready to give these layers; kept, so that the next time is free."""
        wanted = frozenset(layers)
        key = (wanted, device, dtype)
        with _LOADING:
            if key not in self._prepared:
                self._prepared[key] = self._prepare(wanted, device, dtype)
            self._prepared.move_to_end(key)
            while len(self._prepared) > _PREPARED:
                self._prepared.popitem(last=False)
            return self._prepared[key]

    def _prepare(
        self, layers: frozenset[str], device: torch.device, dtype: torch.dtype
    ) -> PreparedNetwork:
        wanted = {name: self.layer(name) for name in layers if name != INPUT}
        with own_grad_mode():
            module = self._share()
            last = max((layer.order for layer in wanted.values()), default=-1)
            for name, layer in self.layers.items():
                is_leaf = not any(True for _ in module.get_submodule(name).children())
                if is_leaf and layer.order > last:  # it will never run: let its memory go
                    replace_module(module, name, nn.Identity())
            fold_batch_norm(module, keep={layer.name for layer in wanted.values()})
            module.to(device=device, dtype=dtype)
            module.to(memory_format=torch.channels_last)
        return PreparedNetwork(self.record, module, wanted, device, dtype)

    def _share(self) -> nn.Module:
        """Copy the modules but not the weights, which stay shared until they are converted."""
        tensors = [*self._module.parameters(), *self._module.buffers()]
        memo = {
            id(t): nn.Parameter(t.detach(), requires_grad=False)
            if isinstance(t, nn.Parameter)
            else t.detach()
            for t in tensors
        }
        return copy.deepcopy(self._module, memo)


def _find_layer(record: Network, layers: Mapping[str, Layer], name: str) -> Layer:
    path = record.aliases.get(name, name)
    if path in layers:
        return layers[path]
    remedy = f"List them with: reverie networks show {record.name}"
    raise NetworkError(
        unknown_name(f"layer in {record.name!r}", name, [*layers, *record.aliases], remedy)
    )


def _default_layer(record: Network, layers: Mapping[str, Layer]) -> str:
    if record.default_layer:
        return _find_layer(record, layers, record.default_layer).name
    mapped = [layer for layer in layers.values() if layer.stride]
    middle = [layer for layer in mapped if layer.stride and layer.stride >= 16] or mapped  # noqa: PLR2004
    blocks = [layer for layer in middle if "." not in layer.name] or middle
    return (blocks or list(layers.values()))[len(blocks) // 2].name


class _SeenEnough(Exception):  # noqa: N818 - it ends a forward pass, nothing failed
    """Raised inside the network by the hook of the last layer asked for."""


class PreparedNetwork:
    """Gives the activations of some layers; runs no further than the deepest of them.

    Attributes:
        record: the plug-in's description.
        module: the network, its BatchNorm folded, on `device` in `dtype`.
        derived: what an engine makes of it, kept as long as it is.
    """

    def __init__(
        self,
        record: Network,
        module: nn.Module,
        layers: Mapping[str, Layer],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.record = record
        self.module = module
        self.device = device
        self.dtype = dtype
        self.derived: dict[object, Any] = {}
        self._layers = layers
        self._mean = torch.tensor(record.mean, device=device, dtype=torch.float32).view(1, 3, 1, 1)
        self._std = torch.tensor(record.std, device=device, dtype=torch.float32).view(1, 3, 1, 1)
        self._lock = threading.Lock()  # one thread's hooks would see another's activations

    @property
    def paths(self) -> tuple[str, ...]:
        """The modules whose outputs are wanted, each once, in the order in which they run."""
        ordered = sorted(self._layers.values(), key=lambda layer: layer.order)
        return tuple(dict.fromkeys(layer.name for layer in ordered))

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Run the network on pictures.

        Args:
            image: (N, 3, H, W) float32 in 0..1, on the network's device.
        Returns:
            For each layer its activations (N, C, H', W') in float32, and the image as `INPUT`.
        """
        normal = (image - self._mean) / self._std
        window = self.record.window
        windows = normal if window is None else _cut(normal, window)
        seen: dict[str, Tensor] = {}
        with self._lock:
            handles = [
                self.module.get_submodule(path).register_forward_hook(self._keep(path, seen))
                for path in self.paths
            ]
            try:
                if handles:
                    self.module(windows.to(self.dtype, memory_format=torch.channels_last))
            except _SeenEnough:
                pass
            finally:
                for handle in handles:
                    handle.remove()
        return self.given(
            {path: output.float() for path, output in seen.items()},
            image,
            windows=len(windows) // len(image),
        )

    def given(
        self, outputs: Mapping[str, Tensor], image: Tensor, *, windows: int = 1
    ) -> dict[str, Tensor]:
        """Name what modules gave as an objective asks for it.

        Args:
            outputs: by path, float32, shaped as the modules give them.
            image: the pictures, (N, 3, H, W).
            windows: how many outputs there are of each picture.
        Returns:
            For each layer its activations (N, C, H', W'), and the image as `INPUT`.
        """
        given = {INPUT: image}
        for name, layer in self._layers.items():
            if layer.name not in outputs:
                raise NetworkError(f"the network never ran its layer {layer.name!r}.")
            given[name] = _as_map(outputs[layer.name], layer.channel_axis, windows)
        return given

    def _keep(self, path: str, seen: dict[str, Tensor]) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            if path in seen:  # a module that runs twice counts the first time
                return
            is_last = len(seen) + 1 == len(self.paths)
            # A later module may add to this tensor in place (ResNet does): keep it as it is now.
            seen[path] = output if is_last else output.clone()
            if is_last:
                raise _SeenEnough

        return hook


def _cut(image: Tensor, window: int) -> Tensor:
    """Cut (N, C, H, W) into (N * count, C, window, window), going round at the edges."""
    height, width = image.shape[2:]
    rows, columns = -(-height // window), -(-width // window)
    row = torch.arange(rows * window, device=image.device) % height
    column = torch.arange(columns * window, device=image.device) % width
    cut = image[:, :, row][:, :, :, column]
    cut = cut.reshape(*image.shape[:2], rows, window, columns, window).permute(0, 2, 4, 1, 3, 5)
    return cut.flatten(0, 2)


def _as_map(activation: Tensor, channel_axis: int, count: int) -> Tensor:
    """Bring any layer's output to (N, C, H, W), stacking `count` windows of a picture in H."""
    activation = activation.movedim(channel_axis, 1)
    while activation.ndim < 4:  # noqa: PLR2004
        activation = activation[..., None]
    if count == 1:
        return activation
    stacked = activation.reshape(-1, count, *activation.shape[1:])
    return stacked.transpose(1, 2).flatten(2, 3)
