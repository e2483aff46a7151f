"""Loads networks by name, knows their layers, and runs them as far as the layers asked for."""

from __future__ import annotations

import copy
import gc
import hashlib
import logging
import threading
from collections import OrderedDict
from functools import cache, cached_property, lru_cache, partial
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import torch
from torch import nn

from reverie.ambient import OwnDefaults, OwnRandomness
from reverie.device import own_grad_mode
from reverie.errors import NetworkError, ReverieError, WeightsError, unknown_name
from reverie.networks import weights as weight_files
from reverie.networks import zoo
from reverie.networks.layers import Layer, find_layers
from reverie.networks.prepared import PreparedNetwork
from reverie.networks.proving import ProvenPrograms
from reverie.objectives import INPUT
from reverie.plugins import find, registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

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
    with own_grad_mode(), OwnDefaults("cpu"), OwnRandomness():
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
            if hasattr(part, "inplace") and not isinstance(part, torch.jit.ScriptModule):
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
        self._programs: WeakValueDictionary[frozenset[str], ProvenPrograms] = WeakValueDictionary()

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
        """At which multiples of px parts of a picture must begin to be seen as the whole is.

        Mostly how far the outputs of the coarsest of these layers are apart.
        """
        found = [self.layer(name) for name in layers if name != INPUT]
        return max([1, *(max(layer.stride or 1, layer.grid) for layer in found)])

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
        paths = frozenset(layer.name for layer in wanted.values())
        # Not bound to this, which holds what is returned: a circle would outlive release().
        share = partial(_shared, self._module)
        programs = self._programs.get(paths)
        if programs is None:
            with own_grad_mode():
                programs = ProvenPrograms(self.record, share(), sorted(paths))
            self._programs[paths] = programs
        return PreparedNetwork(self.record, programs, share, wanted, device, dtype)


def _shared(module: nn.Module) -> nn.Module:
    """Copy the modules but not the weights, which stay shared until they are converted."""
    tensors = [*module.parameters(), *module.buffers()]
    memo = {
        id(t): nn.Parameter(t.detach(), requires_grad=False)
        if isinstance(t, nn.Parameter)
        else t.detach()
        for t in tensors
    }
    return copy.deepcopy(module, memo)


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
