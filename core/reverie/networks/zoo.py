"""torchvision's classification networks, each with its own ImageNet weights.

The names stand here, so that listing them does not import torchvision (two seconds); a test
compares them with what torchvision has. Default layers are those of known looks, else middle blocks
that dream objects rather than textures.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from reverie.ambient import OwnDefaults, ThreadDispatchMode
from reverie.errors import WeightsError
from reverie.networks.checkpoints import (
    COUNTER,
    lacks_only,
    nothing,
    refuse_misfit,
    under_own_names,
)
from reverie.networks.layers import find_layers
from reverie.networks.old_names import renamed, with_old_stem
from reverie.networks.quick_import import import_torchvision
from reverie.networks.weights import WeightsSource, load_weights
from reverie.types import IMAGENET_MEAN, IMAGENET_STD, Network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from reverie.networks.layers import Layer

_FAMILIES: tuple[tuple[str, str, str], ...] = (
    # names, default layer, paper
    ("alexnet", "features.9", "Krizhevsky 2014"),
    ("convnext_base convnext_large convnext_small convnext_tiny", "features.5", "Liu et al. 2022"),
    (
        "densenet121 densenet161 densenet169 densenet201",
        "features.denseblock3",
        "Huang et al. 2017",
    ),
    (
        (
            "efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4 "
            "efficientnet_b5 efficientnet_b6 efficientnet_b7"
        ),
        "features.5",
        "Tan, Le 2019",
    ),
    ("efficientnet_v2_l efficientnet_v2_m efficientnet_v2_s", "features.5", "Tan, Le 2021"),
    ("googlenet", "inception4c", "Szegedy et al. 2015"),
    ("inception_v3", "Mixed_6b", "Szegedy et al. 2016"),
    ("maxvit_t", "blocks.2", "Tu et al. 2022"),
    ("mnasnet0_5 mnasnet0_75 mnasnet1_0 mnasnet1_3", "layers.11", "Tan et al. 2019"),
    ("mobilenet_v2", "features.13", "Sandler et al. 2018"),
    ("mobilenet_v3_large mobilenet_v3_small", "features.10", "Howard et al. 2019"),
    (
        (
            "regnet_x_16gf regnet_x_1_6gf regnet_x_32gf regnet_x_3_2gf regnet_x_400mf "
            "regnet_x_800mf regnet_x_8gf regnet_y_128gf regnet_y_16gf regnet_y_1_6gf "
            "regnet_y_32gf regnet_y_3_2gf regnet_y_400mf regnet_y_800mf regnet_y_8gf"
        ),
        "trunk_output.block3",
        "Radosavovic et al. 2020",
    ),
    ("resnet101 resnet152 resnet18 resnet34 resnet50", "layer3", "He et al. 2016"),
    ("resnext101_32x8d resnext101_64x4d resnext50_32x4d", "layer3", "Xie et al. 2017"),
    (
        "shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5 shufflenet_v2_x2_0",
        "stage3",
        "Ma et al. 2018",
    ),
    ("squeezenet1_0", "features.10", "Iandola et al. 2016"),
    ("squeezenet1_1", "features.10", "Iandola et al. 2016"),
    ("swin_b swin_s swin_t", "features.5", "Liu et al. 2021"),
    ("swin_v2_b swin_v2_s swin_v2_t", "features.5", "Liu et al. 2022"),
    (
        "vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn",
        "relu4_3",
        "Simonyan, Zisserman 2015",
    ),
    (
        "vit_b_16 vit_b_32 vit_h_14 vit_l_16 vit_l_32",
        "encoder.layers.encoder_layer_6",
        "Dosovitskiy 2021",
    ),
    ("wide_resnet101_2 wide_resnet50_2", "layer3", "Zagoruyko, Komodakis 2016"),
)

_FIRE = {"squeezenet1_0": (3, 4, 5, 7, 8, 9, 10, 12), "squeezenet1_1": (3, 4, 6, 7, 9, 10, 11, 12)}
"""Where SqueezeNet's fire2 to fire9 stand in `features`."""
_VGG = {"11": (1, 1, 2, 2, 2), "13": (2,) * 5, "16": (2, 2, 3, 3, 3), "19": (2, 2, 4, 4, 4)}
"""How many convolutions each block of VGG has."""
_WINDOW = {
    "maxvit_t": 224,
    "vit_b_16": 224,
    "vit_b_32": 224,
    "vit_h_14": 518,
    "vit_l_16": 224,
    "vit_l_32": 224,
}
"""Sides in px of the pictures that networks of one size take, with their default weights."""

_CLASSES = 1000
"""Of ImageNet, and so of every network unless its weights say otherwise."""
_HELPER = re.compile(r"(^|\.)aux", re.IGNORECASE)
"""What the names of the classifiers begin with that GoogLeNet and Inception have for training."""
_HALF = {"efficientnet_v2_l", "googlenet", "inception_v3"}
"""Networks trained on pictures in -1..1: mean and standard deviation 0.5.

torchvision gives GoogLeNet and Inception ImageNet's normalisation and lets them undo it
(`transform_input`); without that detour nothing stands between the picture and the first layer.
"""


def networks() -> Iterator[Network]:
    """All of them, without importing torchvision."""
    for names, layer, paper in _FAMILIES:
        for name in names.split():
            aliases = _aliases(name)
            yield Network(
                name=name,
                summary=f"torchvision's {name}, trained on ImageNet ({paper}).",
                load=partial(_load, name),
                weights=partial(_weights, name),
                mean=(0.5, 0.5, 0.5) if name in _HALF else IMAGENET_MEAN,
                std=(0.5, 0.5, 0.5) if name in _HALF else IMAGENET_STD,
                default_layer=_last_of_block(name, layer, aliases),
                aliases=aliases,
                window=_WINDOW.get(name),
                words=partial(class_words, name),
                source="https://github.com/pytorch/vision",
                license="BSD-3-Clause; weights trained on ImageNet",
            )


def _aliases(name: str) -> dict[str, str]:
    """The names that the papers gave to layers which torchvision only numbers."""
    if name in _FIRE:
        return {f"fire{i}": f"features.{at}" for i, at in enumerate(_FIRE[name], 2)}
    if not name.startswith("vgg"):
        return {}
    stages = 3 if name.endswith("_bn") else 2  # convolution, (BatchNorm,) ReLU
    aliases, at = {}, 0
    for block, count in enumerate(_VGG[name[3:5]], 1):
        for convolution in range(1, count + 1):
            aliases[f"conv{block}_{convolution}"] = f"features.{at}"
            aliases[f"relu{block}_{convolution}"] = f"features.{at + stages - 1}"
            at += stages
        aliases[f"pool{block}"] = f"features.{at}"
        at += 1
    return aliases


def _last_of_block(name: str, layer: str, aliases: dict[str, str]) -> str:
    """VGG 11 and 13 have no relu4_3: take the last ReLU of that block."""
    if name.startswith("vgg") and layer not in aliases:
        return max(alias for alias in aliases if alias.startswith(layer[:-1]))
    return layer


def _weights(name: str) -> WeightsSource:
    import_torchvision()
    from torchvision.models import get_model_weights

    return WeightsSource.from_url(get_model_weights(name).DEFAULT.url)


def class_words(name: str) -> Sequence[str]:
    """Give the words of the classes that a network of torchvision knows, without a download."""
    import_torchvision()
    from torchvision.models import get_model_weights

    words: Sequence[str] = get_model_weights(name).DEFAULT.meta["categories"]
    return words


def _load(name: str, path: Path | None) -> nn.Module:
    if path is None:
        raise WeightsError(f"{name}: no weights were given; use --network {name}:FILE.")
    given = load_weights(path)
    options = _options(name, given)
    module = _build(name, options)
    needed, head = module.state_dict(), _head(module)
    state = renamed(name, under_own_names(given, needed))
    lacking = lacks_only(state, needed, head)  # what lies before the head can be dreamed
    weight = state.get(f"{head}.weight")
    if lacking:  # what helps in training is a head, too
        state = {key: value for key, value in state.items() if not _HELPER.search(key)}
        options = _options(name, state)
    classes = 1 if lacking else _CLASSES if weight is None or not weight.ndim else len(weight)
    if classes not in {0, _CLASSES}:
        module = _build(name, {**options, "num_classes": classes})
    if name.startswith("mnasnet"):
        module = with_old_stem(module, state, lambda usual: _build(usual, {}))
    needed = module.state_dict()
    state |= {key: nothing(needed[key]) for key in lacking}
    refuse_misfit(state, module, name, path)
    module.load_state_dict(_versioned(state, module), assign=True, strict=False)
    return module


def _versioned(state: dict[str, Any], module: nn.Module) -> dict[str, Any]:
    """Say that the weights are for today's layout; MNASNet refuses those that do not say."""
    needed: Any = module.state_dict()
    counters = {key: torch.zeros((), dtype=torch.int64) for key in needed if key.endswith(COUNTER)}
    versioned: OrderedDict[str, Any] = OrderedDict(counters | state)
    versioned._metadata = getattr(needed, "_metadata", {})  # type: ignore[attr-defined]  # noqa: SLF001
    return versioned


def _build(name: str, options: dict[str, Any]) -> nn.Module:
    import_torchvision()
    from torchvision.models import get_model

    # On "meta" it takes no memory and no time, because the weights follow; but RegNet computes its
    # widths with tensors, which must be real ones.
    with OwnDefaults("cpu" if name.startswith("regnet") else "meta"), _NothingDrawn():
        module: nn.Module = get_model(name, weights=None, **options)
    return module


class _NothingDrawn(TorchFunctionMode):
    """Leaves weights as they are made, because others follow.

    To draw random numbers that nobody sees on "meta", PyTorch would load its compiler: a second.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        is_drawn = func in {torch.Tensor.normal_, torch.Tensor.uniform_}
        if is_drawn or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else given["tensor"]
        return func(*args, **given)


def has_untrained(record: Network) -> bool:
    """Tell whether a network is one of these, which `untrained_layers` can list."""
    return isinstance(record.load, partial) and record.load.func is _load


def untrained_layers(record: Network) -> dict[str, Layer]:
    """List the layers of one of these networks without its weights, nor memory for any."""
    state = {"aux": None}  # the weights of GoogLeNet and Inception have them
    module = _build(record.name, _options(record.name, state)).eval().to("meta")
    with _OnlyShapes():
        return find_layers(module, record.window)


class _OnlyShapes(ThreadDispatchMode):
    """Runs a network on "meta", where tensors have a shape and nothing else.

    The operations of convolutional networks for which PyTorch would load its compiler, which takes
    2 s and 150 MB, are answered here; for others, such as attention's, it still does.
    """

    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer what is in `_SHAPES`."""
        answer = _SHAPES.get(func)
        return func(*args, **kwargs) if answer is None else answer(*args)


def _same(values: Tensor, *others: Any) -> Tensor:
    shapes = [each.shape for each in (values, *others) if isinstance(each, torch.Tensor)]
    return values.new_empty(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]


def _normed(values: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    return values.new_empty(values.shape), values.new_empty(0), values.new_empty(0)


def _linear(_bias: Tensor, values: Tensor, weight: Tensor) -> Tensor:
    return values.new_empty((values.shape[0], weight.shape[1]))


def _pooled(values: Tensor, size: Sequence[int]) -> Tensor:
    return values.new_empty((*values.shape[:2], *size))


def _averaged(values: Tensor, dims: Sequence[int], keepdim: bool = False) -> Tensor:
    axes = {dim % values.ndim for dim in dims}
    shape = [1 if n in axes else side for n, side in enumerate(values.shape)]
    return values.new_empty([s for n, s in enumerate(shape) if keepdim or n not in axes])


def _joined(values: Sequence[Tensor], dim: int = 0) -> Tensor:
    shape = list(values[0].shape)
    shape[dim] = sum(value.shape[dim] for value in values)
    return values[0].new_empty(shape)


_aten = torch.ops.aten
_SHAPES: Mapping[Any, Callable[..., Any]] = {
    _aten.native_batch_norm.default: _normed,
    _aten.addmm.default: _linear,
    _aten._adaptive_avg_pool2d.default: _pooled,  # noqa: SLF001
    _aten.mean.dim: _averaged,
    _aten.cat.default: _joined,
    **dict.fromkeys(
        (
            *(_aten.add.Tensor, _aten.mul.Tensor, _aten.sigmoid.default, _aten.silu.default),
            *(_aten.hardsigmoid.default, _aten.hardswish.default, _aten.gelu.default),
        ),
        _same,
    ),
}


def _options(name: str, state: Mapping[str, Any]) -> dict[str, Any]:
    if name == "vit_h_14":  # the only one whose weights are for another size than its own default
        return {"image_size": _WINDOW[name]}
    if name not in {"googlenet", "inception_v3"}:
        return {}
    has_aux = any(_HELPER.search(key) for key in state)
    return {"transform_input": False, "aux_logits": has_aux, "init_weights": False}


def _head(module: nn.Module) -> str:
    """The last layer, which has one output for each class."""
    heads: list[str] = [
        n for n, m in module.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))
    ]
    return heads[-1]
