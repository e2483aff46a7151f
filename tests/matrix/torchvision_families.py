"""The smallest of each of torchvision's families, with weights that nobody trained.

Random weights make activations vanish or explode unless they are scaled; here BatchNorm's
statistics are those of a picture, and everything else keeps the variance.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import torch
from tests.matrix.scenes import Places
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from reverie.networks.quick_import import import_torchvision

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


FAMILIES: dict[str, Places] = {
    "alexnet": Places("features.3", "features.9", "classifier.6"),
    "convnext_tiny": Places("features.1", "features.5", "classifier.2"),
    "densenet121": Places("features.denseblock1", "features.denseblock3", "classifier"),
    "efficientnet_b0": Places("features.2", "features.5", "classifier.1"),
    "efficientnet_v2_s": Places("features.1", "features.5", "classifier.1"),
    "googlenet": Places("conv3", "inception4c", "fc"),
    "inception_v3": Places("Conv2d_4a_3x3", "Mixed_6b", "fc"),
    "maxvit_t": Places("stem", "blocks.1", "classifier.5", 224),
    "mnasnet0_5": Places("layers.8", "layers.11", "classifier.1"),
    "mobilenet_v2": Places("features.3", "features.13", "classifier.1"),
    "mobilenet_v3_small": Places("features.2", "features.10", "classifier.3"),
    "regnet_x_400mf": Places("trunk_output.block1", "trunk_output.block3", "fc"),
    "regnet_y_400mf": Places("trunk_output.block1", "trunk_output.block3", "fc"),
    "resnet18": Places("layer1", "layer3", "fc"),
    "resnext50_32x4d": Places("layer1", "layer3", "fc"),
    "shufflenet_v2_x0_5": Places("maxpool", "stage3", "fc"),
    "squeezenet1_1": Places("features.3", "features.10", "classifier.1"),
    "swin_t": Places("features.1", "features.5", "head"),
    "swin_v2_t": Places("features.1", "features.5", "head"),
    "vgg11_bn": Places("features.6", "features.20", "classifier.6"),
    "vit_b_32": Places(
        "encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_3", "heads.head", 224
    ),
    "wide_resnet50_2": Places("layer1", "layer3", "fc"),
}
HALF = {"googlenet", "inception_v3"}
"""Those that see pictures in -1..1."""
CHANNELS_LAST = ("swin_t", "swin_v2_t", "vit_b_32")
LARGE = {"alexnet", "vgg11_bn", "vit_b_32", "wide_resnet50_2"}
"""Their files are in half precision, as people have them, too."""
_DRAWN = 2**20 + 7
"""Numbers that are drawn at most for one tensor; they repeat after that."""


class _Zeros(TorchFunctionMode):
    """Draws nothing, which takes seconds for some networks: all weights are 0, others follow."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in {Tensor.normal_, Tensor.uniform_}:
            return args[0].zero_()
        return func(*args, **(kwargs or {}))


def module_of(name: str, **options: Any) -> nn.Module:
    """Make one of the networks, without weights."""
    import_torchvision()
    from torchvision.models import get_model

    if name in {"googlenet", "inception_v3"}:
        options = {"aux_logits": False, "init_weights": False, **options}
    with _Zeros():
        module: nn.Module = get_model(name, weights=None, **options)
    return module.eval()


def save_weights(name: str, path: Path, picture: Tensor, **options: Any) -> None:
    """Write weights for one of the networks, drawn from its name, to a safetensors file."""
    from safetensors.torch import save_file

    module = module_of(name, **options)
    generator = torch.Generator().manual_seed(sum(name.encode()))
    with torch.no_grad():
        for key, value in module.named_parameters():
            drawn = torch.randn(min(value.numel(), _DRAWN), generator=generator)
            numbers = _scaled(key.rpartition(".")[2], value.shape, drawn)
            for part in torch.split(value.view(-1), _DRAWN):
                part.copy_(numbers[: len(part)])
        norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0
            norm.train()
        if norms:
            side = FAMILIES[name].window or (192 if name == "inception_v3" else 128)
            seen = nn.functional.interpolate(picture, size=(side, side), mode="bilinear")
            module((torch.cat([seen, seen.flip(2).flip(1)]) - 0.45) / 0.23)
    state = {key: value.contiguous() for key, value in module.state_dict().items()}
    if name in LARGE:
        state = {
            key: value.half() if value.is_floating_point() else value
            for key, value in state.items()
        }
    save_file(state, path)


def load_plainly(name: str, path: str, dtype: torch.dtype) -> nn.Module:
    """Make a network as its author has it, in a precision, from such a file."""
    from safetensors.torch import load_file

    module = module_of(name)
    state: OrderedDict[str, Tensor] = OrderedDict(
        (key, value.to(dtype) if value.is_floating_point() else value)
        for key, value in load_file(path).items()
    )
    metadata = module.state_dict()._metadata  # type: ignore[attr-defined]
    # MNASNet asks of which layout they are.
    state._metadata = metadata  # type: ignore[attr-defined]
    module.load_state_dict(state, assign=True)
    return module.to(dtype)


def _scaled(kind: str, shape: torch.Size, drawn: Tensor) -> Tensor:
    """Scale normal numbers to what a parameter of this name and shape should be about."""
    if "layer_scale" in kind:
        return drawn.mul_(0.2).add_(0.5)
    if kind in {"pos_embedding", "class_token", "relative_position_bias_table"}:
        return drawn.mul_(0.5)
    if "logit_scale" in kind:
        return drawn.mul_(0.3).add_(1)
    if len(shape) > 1:
        return drawn.mul_(math.sqrt(2 / shape[1:].numel()))
    if kind == "weight":  # of a norm
        return drawn.sigmoid_().add_(0.5)
    return drawn.mul_(0.2)
