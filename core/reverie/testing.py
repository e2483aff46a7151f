"""A kit for authors of plug-ins: one call checks that an adapter keeps the contract.

    from reverie.testing import check_host
    def test_my_host():
        check_host("mine", my_picture)

Each check raises `AssertionError` with a sentence that says what is wrong; no framework is needed.
"""

from __future__ import annotations

import math
from argparse import SUPPRESS
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from reverie.device import own_grad_mode
from reverie.engine.canvas import LARGE
from reverie.engine.dream import dream
from reverie.engine.gradient import image_gradient
from reverie.engine.octaves import resize
from reverie.engine.prepare import prepare
from reverie.engine.reference import Glances
from reverie.grammar import parse_objective
from reverie.networks.loading import load_network
from reverie.plugins import find, registry
from reverie.recipe import Recipe, settings

if TYPE_CHECKING:
    from torch import Tensor

    from reverie.setting import Setting

_CPU = torch.device("cpu")
_SIZE = (67, 93)
"""Height and width in px of test pictures: odd, and no multiple of any stride."""


def check_network(name: str) -> None:
    """Check a network: it lists layers, its default layer dreams, and twice the same.

    Args:
        name: as a recipe says it.
    Raises:
        AssertionError: with the fault.
        ReverieError: it cannot be found or loaded.
    """
    network = load_network(name)
    _require(network.layers, f"{name}: no layer gives a tensor that could be dreamed")
    layer = network.layer(network.default_layer)
    _require(layer.channels > 0, f"{name}: the default layer {layer.name!r} has no channels")
    if network.record.words is not None and ":" not in name:  # other weights, other classes
        classes = network.head.channels
        _require(network.words, f"{name}: its words are not as many as its {classes} classes")
    recipe = Recipe(network=name, octaves=1, steps=2, precision="float32")
    picture = _picture(2)
    first, second = (dream(picture, recipe, device=_CPU) for _ in range(2))
    _require(torch.isfinite(first).all(), f"{name}: the dream holds NaN")
    _require(not torch.equal(first, picture), f"{name}: the dream changes nothing")
    _require(torch.equal(first, second), f"{name}: the same recipe gave two different dreams")


def check_objective(text: str, network: str = "embedded") -> None:
    """Check an objective: one finite value a picture, and three steps raise it.

    One that looks at a guide is given one; the original, for one that compares with it, is another
    picture. A regularizer is checked as it is used: "eyes - total_variation()".

    Args:
        text: as a recipe writes it: "contrast(eyes)".
        network: the network whose layers it names.
    Raises:
        AssertionError: with the fault.
    """
    objective = parse_objective(text, registry().objectives())
    again = parse_objective(objective.text, registry().objectives())
    _require(again.text == objective.text, f"{text}: its text {objective.text!r} reads differently")
    picture = _picture(2)
    guide = _picture(1).flip(3) if objective.needs_guide else None
    loaded = load_network(network)
    objective = objective.fit(loaded)
    with own_grad_mode():
        prepared = loaded.prepare(objective.layers, _CPU, torch.float32)
        if guide is not None:
            objective = objective.guided_by(prepared(guide))
        look = Glances(prepared, objective, guide, LARGE)
        values, gradient = image_gradient(
            prepared, objective, picture, reference=look(picture, picture.flip(2))
        )
    _require(values.shape == (2,), f"{text}: gives {tuple(values.shape)}, not one value a picture")
    _require(torch.isfinite(values).all(), f"{text}: gives {values.tolist()}")
    _require(torch.isfinite(gradient).all(), f"{text}: its gradient holds NaN")
    seen: list[float] = []
    recipe = Recipe(
        network=network, objective=text, octaves=1, steps=4, jitter=0, precision="float32"
    )
    dream(picture, recipe, guide=guide, device=_CPU, on_step=lambda step: seen.append(step.value))
    _require(seen[-1] > seen[0], f"{text}: did not rise in three steps: {seen}")


def check_parameterization(name: str) -> None:
    """Check a parameterization: it gives a picture back, and a dream in it changes the picture.

    One that is not exact need not give a picture back, only one of the size it says; and what it
    dreams must differ from what it decodes without a dream.

    Raises:
        AssertionError: with the fault.
    """
    space = find("parameterization", registry().parameterizations(), name)
    picture = _picture(2).mul(0.8).add(0.1)
    size = _SIZE if space.sizes is None else space.sizes(_SIZE)
    _require(
        space.sizes is None or space.sizes(size) == size, f"{name}: {size} is not its own size"
    )
    fitted = resize(picture, size)
    with own_grad_mode():
        given_back = space.decode(space.encode(fitted), size)
    _require(given_back.shape == fitted.shape, f"{name}: gives {tuple(given_back.shape)} back")
    worst = float((given_back - fitted).abs().max())
    _require(
        worst < 0.5 / 255 or not space.is_exact,
        f"{name}: a picture comes back changed by {worst * 255:.2f} levels",
    )
    recipe = Recipe(parameterization=name, octaves=1, steps=2, precision="float32")
    dreamed = dream(picture, recipe, device=_CPU)
    _require(torch.isfinite(dreamed).all(), f"{name}: the dream holds NaN")
    undreamed = picture if space.is_exact else resize(given_back.clamp(0, 1), _SIZE)
    worst = float((dreamed - undreamed).abs().max())
    _require(worst > 0.5 / 255, f"{name}: the dream changes nothing")


def check_host(name: str, *pictures: Any) -> None:
    """Check a host: every setting has a control, and pictures survive the way in and out.

    A control may be anything but None. If it is a mapping, what it has under "default", "minimum"
    or "min", "maximum" or "max", and "choices" must be what the setting has; where the setting has
    no limit or no choices, anything will do, and `argparse.SUPPRESS` as default leaves it to the
    recipe. Controls of other kinds, and how they look, are not checked.

    A picture must become (N, 3, H, W) float32 in 0..1, and come back with its colours, to 1/255.
    What else it holds (alpha, profile, metadata) is not checked.

    Args:
        name: as `reverie hosts` lists it.
        pictures: pictures of the host's own kind; odd sizes and alpha are worth trying.
    Raises:
        AssertionError: with the fault.
    """
    host = find("host", registry().hosts(), name)
    for setting in settings():
        control = host.control(setting)
        _require(control is not None, f"{name}: the setting {setting.name!r} has no control")
        if isinstance(control, Mapping):
            _check_control(name, setting, control)
    for picture in pictures:
        image = host.to_image(picture)
        _require(
            image.ndim == 4 and image.shape[1] == 3 and image.dtype is torch.float32,  # noqa: PLR2004
            f"{name}: to_image gives {tuple(image.shape)} {image.dtype}, not (N, 3, H, W) float32",
        )
        low, high = float(image.min()), float(image.max())
        _require(low >= 0 and high <= 1, f"{name}: to_image gives {low}..{high}, not 0..1")
        again = host.to_image(host.from_image(image, picture))
        _require(again.shape == image.shape, f"{name}: a picture comes back as {again.shape}")
        worst = float((again - image).abs().max())
        _require(worst <= 1 / 255, f"{name}: colours come back changed by {worst * 255:.1f} levels")


def _check_control(host: str, setting: Setting, control: Mapping[Any, Any]) -> None:
    """Compare with the setting what a control says; where the setting has no limit, any will do."""
    own: dict[str, Any] = {
        "minimum": setting.minimum,
        "min": setting.minimum,
        "maximum": setting.maximum,
        "max": setting.maximum,
        "choices": list(setting.choices) or None,
    }
    stated = {key: value for key, value in own.items() if value is not None}
    if control.get("default") != SUPPRESS:
        stated["default"] = setting.default
    for key in (key for key in stated if key in control):
        given = list(control[key] or ()) if key == "choices" else control[key]
        _require(
            given == stated[key],
            f"{host}: {setting.name!r} has the {key} {given!r}, not the recipe's {stated[key]!r}",
        )


def check_preset(name: str) -> None:
    """Check a preset: its objective can be read, and its network and layers are there.

    A network that would have to be downloaded is not loaded.

    Raises:
        AssertionError: with the fault.
        ReverieError: a name is unknown.
    """
    preset = find("preset", registry().presets(), name)
    known, _, file = preset.recipe.network.partition(":")
    network = find("network", registry().networks(), known)
    find("parameterization", registry().parameterizations(), preset.recipe.parameterization)
    if preset.recipe.objective:
        parse_objective(preset.recipe.objective, registry().objectives())
    _require(preset.summary, f"{name}: says nothing about its look")
    if network.weights is None or file:
        with own_grad_mode():
            prepare(preset.recipe, _CPU)


def _picture(count: int) -> Tensor:
    """Smooth coloured waves, another for each picture."""
    height, width = _SIZE
    row = torch.linspace(0, 3 * math.pi, height, dtype=torch.float32, device=_CPU)[:, None]
    column = torch.linspace(0, 5 * math.pi, width, dtype=torch.float32, device=_CPU)[None]
    waves = [
        torch.sin(row * (1 + n / 3) + k) * torch.cos(column - k)
        for n in range(count)
        for k in range(3)
    ]
    return torch.stack(waves).view(count, 3, height, width) * 0.4 + 0.5


def _require(holds: object, fault: str) -> None:
    if not holds:
        raise AssertionError(fault)
