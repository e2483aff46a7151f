"""The judge: plain PyTorch in float64, and objectives written once more by their definitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class _Enough(Exception):  # noqa: N818 - nothing failed
    """Ends a forward pass when all wanted layers were seen."""


@dataclass
class Plain:
    """A network as its author would run it, in one precision."""

    module: nn.Module
    dtype: torch.dtype
    mean: Sequence[float]
    std: Sequence[float]
    is_channels_last: bool = False

    def see(self, image: Tensor, paths: Sequence[str]) -> dict[str, Tensor]:
        """Give what modules give the first time they run, as (N, C, H, W), of pictures in 0..1."""
        exact = image.to(torch.promote_types(self.dtype, torch.float32))
        mean, std = (exact.new_tensor(each).view(1, 3, 1, 1) for each in (self.mean, self.std))
        normal = ((exact - mean) / std).to(self.dtype)
        seen: dict[str, Tensor] = {}

        def keep(path: str) -> Callable[..., None]:
            def hook(_module: nn.Module, _given: Any, found: Tensor) -> None:
                if path not in seen:
                    seen[path] = found.clone()  # what comes after may change it in place
                if len(seen) == len(set(paths)):
                    raise _Enough

            return hook

        handles = [
            self.module.get_submodule(path).register_forward_hook(keep(path))
            for path in dict.fromkeys(paths)
        ]
        try:
            self.module(normal)
        except _Enough:
            pass
        finally:
            for handle in handles:
                handle.remove()
        return {path: self._as_map(found).to(exact.dtype) for path, found in seen.items()}

    def _as_map(self, found: Tensor) -> Tensor:
        if found.ndim == 2:
            return found[:, :, None, None]
        if found.ndim == 3:
            return found.mT[..., None]
        return found.permute(0, 3, 1, 2) if self.is_channels_last else found


@dataclass(frozen=True)
class Scene:
    """What is dreamed on, and what is beside it; (N, 3, H, W) float32."""

    picture: Tensor
    original: Tensor
    guide: Tensor
    shift: tuple[int, int]
    looked_at: tuple[int, int]
    """Height and width at which whole pictures are looked at before an octave."""
    found: Tensor | None = None
    """Shares of the channels that the engine has chosen, (N, C); None where it chooses none."""


class Sight:
    """What an objective may look at, by name; runs the network when it is asked."""

    def __init__(self, plain: Plain, scene: Scene, layers: Mapping[str, str]) -> None:
        self._plain, self._scene, self._layers = plain, scene, layers
        exact = torch.promote_types(plain.dtype, torch.float32)
        self.leaf = scene.picture.to(exact).requires_grad_()
        self.picture = self.rolled(self.leaf)
        self._seen: dict[str, Tensor] | None = None

    def __getattr__(self, name: str) -> Tensor:
        """Give the picture's activations in `early`, `deep` or `head`."""
        if name not in self._layers:
            raise AttributeError(name)
        if self._seen is None:
            self._seen = self._plain.see(self.picture, list(self._layers.values()))
        return self._seen[self._layers[name]]

    def rolled(self, image: Tensor) -> Tensor:
        return torch.roll(image, self._scene.shift, dims=(2, 3)).to(self.leaf.dtype)

    @property
    def original_picture(self) -> Tensor:
        return self.rolled(self._scene.original)

    @property
    def original(self) -> Tensor:
        """The undreamed picture's activations, place by place."""
        return self._of(self.original_picture)

    @property
    def original_whole(self) -> Tensor:
        """The undreamed picture's, as looked at when the octave began."""
        return self._of(self._looked(self._scene.original))

    @property
    def picture_whole(self) -> Tensor:
        return self._of(self._looked(self._scene.picture))

    @property
    def guide(self) -> Tensor:
        """The guide's, at its own size."""
        return self._of(self._scene.guide)

    @property
    def target(self) -> Tensor:
        """Those of the guide stretched over the picture."""
        size = (self._scene.picture.shape[2], self._scene.picture.shape[3])
        return self._of(self.rolled(_stretched(self._scene.guide, size)))

    @property
    def target_whole(self) -> Tensor:
        size = (self._scene.picture.shape[2], self._scene.picture.shape[3])
        return self._of(self._looked(_stretched(self._scene.guide, size)))

    @property
    def shares(self) -> Tensor:
        """The engine's choice of channels, (N, C, 1, 1); whether it is right is asked elsewhere."""
        assert self._scene.found is not None
        return self._scene.found.to(self.leaf.dtype)[..., None, None]

    def _of(self, image: Tensor) -> Tensor:
        (path,) = self._layers.values()
        with torch.no_grad():
            return self._plain.see(image, [path])[path]

    def _looked(self, image: Tensor) -> Tensor:
        return _stretched(image, self._scene.looked_at)


def _stretched(image: Tensor, size: tuple[int, int]) -> Tensor:
    if image.shape[2:] == size:
        return image
    return nn.functional.interpolate(image, size=size, mode="bilinear", antialias=True)


@dataclass(frozen=True)
class Kind:
    """One kind of objective: how a recipe writes it, and what it is by definition."""

    text: str
    """{early}, {deep} and {head} stand for layers; {layer} for `early` or `deep`."""
    value: Callable[[Any], Tensor]
    """From a `Sight`, where `layer` is what the text says, to values (N,)."""
    chooses: Callable[[Tensor], Tensor] | None = None
    """Which channels are the right ones, by their strength (C,) over the picture: indices."""
    batch: int = 1
    """Pictures that look at each other."""
    starts_near: bool = False
    """The picture is still like the original."""


def _mean(a: Tensor) -> Tensor:
    return a.flatten(1).mean(1)


def _dot(a: Tensor, b: Tensor, power: float) -> Tensor:
    """lucid's dot_cossim at each position."""
    product = (a * b).sum(1)
    length = (a.square().sum(1) + 1e-20).sqrt(), (b.square().sum(1) + 1e-20).sqrt()
    cosine = product / ((length[0] + 1e-4) * (length[1] + 1e-4))
    return product * cosine.clamp(min=0.1) ** power


def _direction(a: Tensor, weights: Mapping[int, float]) -> Tensor:
    vector = a.new_zeros(a.shape[1])
    for channel, weight in weights.items():
        vector[channel] = weight
    return nn.functional.normalize(vector, dim=0).view(1, -1, 1, 1)


def _at(a: Tensor, x: float, y: float) -> Tensor:
    height, width = a.shape[2:]
    return a[:, :, int(y * height), int(x * width)]


def _matched(a: Tensor, guide: Tensor) -> Tensor:
    vectors = guide.flatten(2)[0]
    best = (a.detach().flatten(2).mT @ vectors).argmax(2)
    return vectors[:, best].movedim(0, 1).view_as(a)


def _cosines(a: Tensor) -> Tensor:
    grams = torch.einsum("ncp,ndp->ncd", a.flatten(2), a.flatten(2)).flatten(1)
    cosines = nn.functional.cosine_similarity(grams[:, None], grams[None], dim=2)
    return cosines.sum(1) - cosines.diagonal()


def _variation(image: Tensor, beta: float) -> Tensor:
    down = image[:, :, 1:] - image[:, :, :-1]
    right = image[:, :, :, 1:] - image[:, :, :, :-1]
    total = (down.abs() ** beta).flatten(1).sum(1) + (right.abs() ** beta).flatten(1).sum(1)
    return total / image[0].numel()


def _energy(a: Tensor) -> Tensor:
    return _mean(a**2) / 2


KINDS: dict[str, Kind] = {
    "layer": Kind("{layer}", lambda s: _energy(s.layer)),
    "mean": Kind("mean({layer})", lambda s: _mean(s.layer)),
    "absolute": Kind("absolute({layer})", lambda s: _mean(s.layer.abs())),
    "channel": Kind("channel({layer}, 1)", lambda s: _mean(s.layer[:, 1])),
    "channels": Kind("channels({layer}, 0, 3)", lambda s: _mean(s.layer[:, [0, 3]])),
    "neuron": Kind(
        "neuron({layer}, 2, 0.3, 0.6) + neuron({layer}, 5) + 2*neuron({layer}, 8, 0.9, 0)",
        lambda s: (
            _at(s.layer, 0.3, 0.6)[:, 2]
            + _at(s.layer, 0.5, 0.5)[:, 5]
            + 2 * _at(s.layer, 0.9, 0)[:, 8]
        ),
    ),
    "direction": Kind(
        "direction({layer}, '2:1 5:-0.5')",
        lambda s: _dot(s.layer, _direction(s.layer, {2: 1, 5: -0.5}), 0).mean((1, 2)),
    ),
    "direction_neuron": Kind(
        "direction_neuron({layer}, '0:1 1:2 3:1 5:2 8:1', 0.7, 0.4, cossim_power=2)",
        lambda s: _dot(
            _at(s.layer, 0.7, 0.4)[..., None, None],
            _direction(s.layer, {0: 1, 1: 2, 3: 1, 5: 2, 8: 1}),
            2,
        )[:, 0, 0],
    ),
    "strongest": Kind(
        "strongest({layer}, 2)",
        lambda s: (s.layer.mean((2, 3), keepdim=True) * s.shares).sum((1, 2, 3)),
        lambda strength: strength.argsort()[-2:],
    ),
    "weakest": Kind(
        "weakest({layer})",
        lambda s: (s.layer.mean((2, 3), keepdim=True) * s.shares).sum((1, 2, 3)),
        lambda strength: strength.argsort()[:1],
    ),
    "middling": Kind(
        "middling({layer}, 3)",
        lambda s: (s.layer.mean((2, 3), keepdim=True) * s.shares).sum((1, 2, 3)),
        lambda strength: strength.argsort()[(len(strength) - 3) // 2 :][:3],
    ),
    "above_average": Kind(
        "above_average({layer})",
        lambda s: (s.layer.mean((2, 3), keepdim=True) * s.shares).sum((1, 2, 3)),
        lambda strength: (strength > strength.mean()).nonzero().flatten(),
    ),
    "logit_number": Kind("logit(7)", lambda s: _mean(s.head[:, 7])),
    "logit_word": Kind("logit({word})", lambda s: _mean(s.head[:, s.number])),
    "logit_in_sum": Kind(
        "0.5*logit(3) + 2*{deep}", lambda s: 0.5 * _mean(s.head[:, 3]) + 2 * _energy(s.deep)
    ),
    "guide": Kind("guide({layer})", lambda s: _mean(s.layer * _matched(s.layer, s.guide))),
    "guide_mean": Kind(
        "guide_mean({layer})",
        lambda s: -(s.layer.mean((2, 3)) - s.guide.mean((2, 3))).square().mean(1),
    ),
    "invert": Kind(
        "invert({layer})",
        lambda s: -_mean((s.layer - s.original) ** 2) / _mean(s.original_whole**2),
    ),
    "invert_guide": Kind(
        "invert({layer}, of='guide')",
        lambda s: -_mean((s.layer - s.target) ** 2) / _mean(s.target_whole**2),
    ),
    "caricature": Kind(
        "caricature({layer})",
        lambda s: _dot(s.layer, s.original, 1).mean((1, 2)) / s.layer.shape[1],
        starts_near=True,
    ),
    "caricature_guide": Kind(
        "caricature({layer}, cossim_power=2, of='guide')",
        lambda s: _dot(s.layer, s.target, 2).mean((1, 2)) / s.layer.shape[1],
    ),
    "diversity": Kind(
        "channel({layer}, 1) + 0.5*diversity({layer})",
        lambda s: _mean(s.layer[:, 1]) - 0.5 * _cosines(s.layer),
        batch=2,
    ),
    "total_variation": Kind(
        "{layer} - 3*total_variation()",
        lambda s: _energy(s.layer) - 3 * _variation(s.picture, 1),
    ),
    "total_variation_squared": Kind(
        "{layer} - 40*total_variation(2)",
        lambda s: _energy(s.layer) - 40 * _variation(s.picture, 2),
    ),
    "total_variation_of_change": Kind(
        "{layer} - 30*total_variation(1.5, of='change')",
        lambda s: _energy(s.layer) - 30 * _variation(s.picture - s.original_picture, 1.5),
    ),
    "l2": Kind("{layer} - 9*l2()", lambda s: _energy(s.layer) - 9 * _mean((s.picture - 0.5) ** 2)),
    "l2_to_original": Kind(
        "{layer} - 20*l2_to_original()",
        lambda s: _energy(s.layer) - 20 * _mean((s.picture - s.original_picture) ** 2),
    ),
    "alpha_norm": Kind(
        "{layer} - 500*alpha_norm()",
        lambda s: _energy(s.layer) - 500 * _mean((s.picture - 0.5).abs() ** 6),
    ),
    "weighted_sum": Kind(
        "2*channel({layer}, 1) - 0.25*{layer} + absolute({layer})/3",
        lambda s: 2 * _mean(s.layer[:, 1]) - _energy(s.layer) / 4 + _mean(s.layer.abs()) / 3,
    ),
    "two_layers": Kind(
        "0.5*mean({early}) - (channel({deep}, 0) - {deep})",
        lambda s: 0.5 * _mean(s.early) - _mean(s.deep[:, 0]) + _energy(s.deep),
    ),
    "with_corrections": Kind(
        "{layer} - 0.5*blur(1, every=2) - clip_small_norm(10) - clip_small_contribution(5)",
        lambda s: _energy(s.layer),
    ),
}
