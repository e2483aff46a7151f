"""The records that plug-ins hand over, one for each hook in hookspecs.py.

All are frozen, keyword-only and light: a record describes, and loads what it describes when called.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Generic, ParamSpec

from reverie.errors import ObjectiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from reverie.networks.weights import WeightsSource
    from reverie.objectives import Objective
    from reverie.recipe import Recipe
    from reverie.setting import Setting

P = ParamSpec("P")

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's pictures, red green blue in 0..1; torchvision's networks expect it."""
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Their standard deviation."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A trained network to dream with; given by `reverie_networks`."""

    name: str
    """What `--network` and `Recipe.network` say: "embedded", "googlenet"."""
    summary: str
    """One sentence for lists and tooltips."""
    load: Callable[[Path | None], nn.Module]
    """Build the module from a weights file; None where `weights` is None and it has its own."""
    weights: Callable[[], WeightsSource] | None = None
    """Says where its own weights are downloaded from; None if it brings them."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Subtracted from a picture in 0..1, red green blue, before the first layer."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Divided by after that."""
    default_layer: str = ""
    """The layer to dream when a recipe names none; "" takes a middle one."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Other names for layers: {"relu4_3": "features.22"}."""
    head: str = ""
    """The layer with one channel for each class, before any softmax; "" where there are no `words`,
    and with them for the last convolution or linear layer that runs."""
    words: Callable[[], Sequence[str]] | None = None
    """Gives the words of its classes in their order, without a download; None if it has none."""
    window: int | None = None
    """Side in px of the only picture size it takes (vision transformers); None takes any size."""
    source: str = ""
    """Paper, author or address."""
    license: str = ""
    """Licence of the weights."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveFactory(Generic[P]):
    """Makes objectives of one kind from their arguments; given by `reverie_objectives`.

    Call it to get an `Objective` whose text is the call, so that a recipe can hold it.
    """

    name: str
    """What a recipe writes before the parenthesis: `layer`."""
    summary: str
    """One sentence: what a dream with it shows."""
    make: Callable[P, Objective]
    """From strings and numbers to an objective; its signature is the grammar's."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Objective:
        """Make the objective, and write its call down as its text.

        Raises:
            ObjectiveError: an argument is not what `make`'s annotations say, or cannot be written.
            TypeError: too many arguments, too few, or one of an unknown name.
        """
        signature = inspect.signature(self.make)
        for key, value in signature.bind(*args, **kwargs).arguments.items():
            parameter = signature.parameters[key]
            several = value if parameter.kind is parameter.VAR_POSITIONAL else [value]
            for each in several:
                self._check(parameter, each)
        words = [literal(value) for value in args]
        words += [f"{key}={literal(value)}" for key, value in kwargs.items()]
        return replace(self.make(*args, **kwargs), text=f"{self.name}({', '.join(words)})")

    @property
    def call(self) -> str:
        """How to write one: "neuron(name, index, x=0.5, y=0.5)"."""
        words = [
            f"{name}, ..."
            if one.kind is one.VAR_POSITIONAL
            else name
            if one.default is one.empty
            else f"{name}={literal(one.default)}"
            for name, one in inspect.signature(self.make).parameters.items()
        ]
        return f"{self.name}({', '.join(words)})"

    def _check(self, parameter: inspect.Parameter, value: object) -> None:
        annotation = getattr(parameter.annotation, "__name__", parameter.annotation)
        kind, words = _ARGUMENTS.get(annotation, (object, ""))
        if not isinstance(value, kind):
            raise ObjectiveError(f"{self.name}: {parameter.name} is {value!r}, not {words}.")


_ARGUMENTS: dict[object, tuple[type, str]] = {
    "str": (str, "a name"),
    "int": (Integral, "a whole number"),
    "float": (Real, "a number"),
}
"""What an argument annotated so may be, numpy's numbers included, and how to say it."""


def literal(value: object) -> str:
    """Write a text or a number as the grammar of objectives reads it.

    Raises:
        ObjectiveError: it is neither, is infinite or NaN, or has both kinds of quotes.

    >>> literal("eyes"), literal(0.5)
    ('"eyes"', '0.5')
    """
    if isinstance(value, str) and not ('"' in value and "'" in value):
        return f"'{value}'" if '"' in value else f'"{value}"'
    if isinstance(value, Integral):
        return repr(int(value))
    if isinstance(value, Real) and math.isfinite(value):
        return repr(float(value))
    raise ObjectiveError(
        f"objective: {value!r:.40} is neither a finite number nor a text with one kind of quotes."
    )


@dataclass(frozen=True, kw_only=True)
class Parameterization:
    """The space in which a picture climbs; given by `reverie_parameterizations`.

    The gradient is carried from the picture to the latent through `decode`, and a step is measured
    by how far it moves the *picture*, so that a step size means the same in every space.
    """

    name: str
    """What `Recipe.parameterization` says."""
    summary: str
    """One sentence for lists and tooltips."""
    encode: Callable[[Tensor], Tensor]
    """From pictures (N, 3, H, W) float32 to a latent of any shape (N, ...)."""
    decode: Callable[[Tensor, tuple[int, int]], Tensor]
    """From a latent and the picture's (H, W) back; differentiable, and undoes `encode`."""
    is_exact: bool = True
    """`decode` gives every picture in 0..1 that was encoded back, to half a grey level.

    False for spaces that hold only some pictures, such as what a generator makes: a dream then
    begins with what `decode` gives, and the whole picture is carried from octave to octave.
    """
    sizes: Callable[[tuple[int, int]], tuple[int, int]] | None = None
    """From a wanted (H, W) to the nearest that `decode` can give; None: any.

    Octaves are dreamed at these sizes, and the dream is brought to the picture's size at the end.
    """


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A look with a name; given by `reverie_presets`."""

    name: str
    """What `--preset` says."""
    summary: str
    """What the pictures look like, in one sentence."""
    recipe: Recipe
    source: str = ""
    """Whose look it is: project, paper, file."""
    notice: str = ""
    """Shown when it is used: what is not exactly as in the source, and why."""


@dataclass(frozen=True, kw_only=True)
class Host:
    """A program that people make pictures in; given by `reverie_hosts`."""

    name: str
    """"gimp", "comfyui", "command-line"."""
    summary: str
    """What a user of that program gets."""
    control: Callable[[Setting], Any]
    """From a `Setting` to the host's own control, with its default, limits and help."""
    to_image: Callable[[Any], Tensor]
    """From the host's picture to (N, 3, H, W) float32 in 0..1."""
    from_image: Callable[[Tensor, Any], Any]
    """Back again, given the host's original picture (for its alpha, type and metadata)."""
    install: Callable[[Path | None], Iterable[str]] | None = None
    """`reverie install NAME`: put the adapter into this folder, or into every one it finds.

    Gives sentences: what was done, and what the user does next. Raises `InstallError`. Called again
    it brings an older copy up to date; `reverie.installing` has what it takes.
    """
    uninstall: Callable[[Path | None], Iterable[str]] | None = None
    """`reverie install NAME --uninstall`: take away what `install` put there, and nothing else."""
    doctor: Callable[[], Iterable[str]] | None = None
    """One sentence with a remedy for each fault of the installation; none if all is well."""
