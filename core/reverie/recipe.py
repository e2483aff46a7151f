"""The Recipe: the only description of a dream.

Every number a user can choose is a field here, with its range, unit and help; hosts build their
forms from these (see setting.py), so that nothing is described twice. It imports no torch: a form
can be shown before anything heavy is loaded.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from reverie.errors import RecipeError, unknown_name
from reverie.setting import Setting, setting, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic_core import ErrorDetails

VERSION: Literal[1] = 1
"""The recipe format that this library writes; see ADR 2 for when it grows."""


class Recipe(BaseModel):
    """Everything that changes a dream; the same recipe on the same device gives the same bytes.

    Frozen and validated: a wrong value raises `RecipeError` naming field, value and range.

    >>> Recipe(octaves=6).octaves
    6
    >>> Recipe(octaves=99)
    Traceback (most recent call last):
    reverie.errors.RecipeError: octaves: 99 is outside 1..12.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)

    version: Literal[1] = Field(default=VERSION, title="Version", description="The recipe format.")
    network: str = setting(
        "embedded",
        "Network",
        "The trained network that dreams: a name, or NAME:FILE to use your own weights.",
        choices="networks",
    )
    objective: str = setting(
        "",
        "Objective",
        "What to amplify: a layer's name, or a sum such as layer(eyes) + 0.5*channel(gazes, 7). "
        "Empty: the layer that suits the network best.",
        choices="layers",
    )
    octaves: int = setting(
        4,
        "Octaves",
        "How many sizes of the picture are dreamed, small to large. More: larger creatures.",
        minimum=1,
        maximum=12,
        step=1,
    )
    octave_scale: float = setting(
        1.4,
        "Octave scale",
        "How much larger each octave is than the one before.",
        minimum=1.05,
        maximum=4.0,
        step=0.05,
    )
    steps: int = setting(
        10,
        "Steps",
        "How often the picture climbs the gradient in each octave. More: stronger.",
        minimum=1,
        maximum=1000,
        step=1,
    )
    step_size: float = setting(
        1.5,
        "Step size",
        "How far one step changes the picture, on average, on the scale 0 to 255.",
        minimum=0.01,
        maximum=32.0,
        step=0.1,
        unit="grey levels",
    )
    jitter: int = setting(
        32,
        "Jitter",
        "Largest random shift of the picture before each step; it hides the network's grid.",
        minimum=0,
        maximum=512,
        step=1,
        unit="px",
        advanced=True,
    )
    seed: int = setting(
        0,
        "Seed",
        "Chooses the random shifts: the same seed gives the same picture.",
        minimum=0,
        maximum=2**64 - 1,
        step=1,
    )
    size: int = setting(
        0,
        "Size",
        "Longest side of the picture that is dreamed and given back; 0 keeps its size.",
        minimum=0,
        maximum=32768,
        step=16,
        unit="px",
    )
    carry: Literal["detail", "picture"] = setting(
        "detail",
        "Carry",
        "What goes from one octave to the next: the dreamed detail, laid on the sharp original "
        "(google/deepdream), or the whole picture, enlarged (softer).",
        advanced=True,
    )
    normalization: Literal["mean", "std"] = setting(
        "mean",
        "Normalization",
        "What the step size measures: the gradient's mean magnitude or its standard deviation.",
        advanced=True,
    )
    smoothing: float = setting(
        0.0,
        "Smoothing",
        "Smallest Gaussian sigma the gradient is blurred with, growing by 2 px over an octave; "
        "0 leaves it sharp.",
        minimum=0.0,
        maximum=8.0,
        step=0.1,
        unit="px",
        advanced=True,
    )
    clip: bool = setting(
        True,
        "Clip",
        "Keep every step between black and white; without it colours may overshoot until the end.",
        advanced=True,
    )
    parameterization: str = setting(
        "pixels",
        "Parameterization",
        "In what space the picture climbs: its pixels, or another that a plug-in offers.",
        choices="parameterizations",
        advanced=True,
    )
    precision: Literal["auto", "float32", "mixed", "bf16"] = setting(
        "auto",
        "Precision",
        "float32 is exact; mixed sees in float32 and climbs in bf16: nearly exact, and faster on "
        "new processors; bf16 is the fastest and gives a different picture of the same quality; "
        "auto takes bf16 where the device computes in it.",
        advanced=True,
    )
    colour: Literal["free", "keep", "luminance", "palette"] = setting(
        "free",
        "Colour",
        "free: the dream brings its own colours; keep: only brightness changes, each pixel's "
        "chroma stays; luminance: the same, and the network sees the picture in grey; palette: "
        "colours move among those that the picture has.",
        advanced=True,
    )
    anchor: float = setting(
        0.0,
        "Anchor",
        "How far each step pulls the tones of red, green and blue back to the original's, so that "
        "long dreams do not drift: at 0.1 they stop where about ten steps would have brought them, "
        "at 1 every tone keeps its share of the picture.",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
        advanced=True,
    )
    edges: Literal["frame", "tile", "panorama"] = setting(
        "frame",
        "Edges",
        "frame: the picture ends at its edges; tile: a picture that repeats without a seam both "
        "ways stays so; panorama: left and right meet, as in a view of 360 degrees.",
        advanced=True,
    )

    optimizer: Literal["plain", "adam"] = setting(
        "plain",
        "Optimizer",
        "How steps are taken: straight up the gradient, or Adam's, which move every pixel or wave "
        "alike, however small its gradient is. Adam starts anew in each octave.",
        advanced=True,
    )
    laplacian: int = setting(
        0,
        "Laplacian",
        "Into how many bands of detail, each half as fine as the one before, the gradient is cut "
        "to give all of them the same strength: large soft forms instead of fine grain. 0: none.",
        minimum=0,
        maximum=8,
        step=1,
        advanced=True,
    )
    start: Literal["picture", "noise", "grey", "procedural"] = setting(
        "picture",
        "Start",
        "Where the dream begins: the picture; or from nothing, of the picture's size: noise around "
        "mid grey, plain grey, or procedural: clouds of colour, made from the seed.",
    )
    noise: float = setting(
        8.0,
        "Noise",
        "How strong the noise is that start=noise begins with: its standard deviation.",
        minimum=0.0,
        maximum=128.0,
        step=1.0,
        unit="grey levels",
        advanced=True,
    )
    rotate: float = setting(
        0.0,
        "Rotate",
        "Largest random rotation of what the network sees in each step, either way: shapes grow "
        "that stay themselves when turned.",
        minimum=0.0,
        maximum=180.0,
        step=1.0,
        unit="degrees",
        advanced=True,
    )
    scale: float = setting(
        0.0,
        "Scale",
        "Largest random change of size of what the network sees in each step: 0.1 is from 0.9 to "
        "1.1 times as large.",
        minimum=0.0,
        maximum=0.5,
        step=0.05,
        advanced=True,
    )
    flip: bool = setting(
        False,
        "Flip",
        "Let the network see the picture mirrored left to right in a random half of the steps.",
        advanced=True,
    )
    pad: int = setting(
        0,
        "Pad",
        "A border of mid grey that the network sees around the picture; without it, what rotations "
        "and crops bring in from outside is the picture, reflected at its edge.",
        minimum=0,
        maximum=512,
        step=4,
        unit="px",
        advanced=True,
    )
    crops: int = setting(
        0,
        "Crops",
        "How many random windows, half as wide and high as the picture, the network sees in each "
        "step instead of the whole; their gradients are averaged. 0: the whole picture.",
        minimum=0,
        maximum=32,
        step=1,
        advanced=True,
    )

    if not TYPE_CHECKING:  # type checkers see the fields as keyword arguments

        def __init__(self, /, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as error:
                raise RecipeError(" ".join(map(_sentence, error.errors()))) from None

    @field_validator("objective", mode="before")
    @classmethod
    def _objective_as_text(cls, value: Any) -> Any:
        # `reverie.objectives` builds objects whose str() is their text in a recipe.
        text = value if isinstance(value, str) else getattr(value, "text", value)
        if text == "" and text is not value:
            raise ValueError("it has no text; make it with @reverie.objective and register it.")
        return text

    def evolve(self, **changes: Any) -> Recipe:
        """Give a copy with some fields changed, validated like a new recipe."""
        return Recipe(**{**self.model_dump(exclude_unset=True), **changes})

    def to_json(self) -> str:
        """Write the recipe as JSON: the version, and every field that is not its default."""
        changed = self.model_dump(exclude_defaults=True)
        return json.dumps({"version": self.version, **changed}, ensure_ascii=False, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read what `to_json` wrote, now or in an older release.

        Raises:
            RecipeError: it is not JSON, not an object, from a newer release, or has a wrong field.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RecipeError(f"this is not a recipe: it is not JSON ({error}).") from None
        if not isinstance(data, dict):
            raise RecipeError("this is not a recipe: a recipe is a JSON object such as {}.")
        return cls(**migrate(data))


def settings() -> tuple[Setting, ...]:
    """List the Recipe's fields in order, without `version`, as hosts show them."""
    return settings_of(Recipe)


MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From version n to n + 1; a release that renames or re-scales a field adds an entry."""


def migrate(data: dict[str, Any]) -> dict[str, Any]:
    """Bring a recipe of an older release to today's version; one without a version is version 1."""
    version = data.get("version", 1)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise RecipeError(f"version: {version!r} is not a recipe version; allowed: 1..{VERSION}.")
    if version > VERSION:
        raise RecipeError(
            f"version: this recipe has format {version}, this reverie reads up to {VERSION}; "
            "upgrade reverie to use it."
        )
    for number in range(version, VERSION):
        data = {**MIGRATIONS[number](data), "version": number + 1}
    return data


def _sentence(error: ErrorDetails) -> str:
    """Turn one of pydantic's findings into a sentence: field, value, what is allowed."""
    name = str(error["loc"][0]) if error["loc"] else "recipe"
    if error["type"] == "extra_forbidden":
        return unknown_name("recipe field", name, Recipe.model_fields)
    setting = next((s for s in settings() if s.name == name), None)
    if error["type"] == "value_error":  # ours, from a validator above
        return f"{name}: {error['msg'].removeprefix('Value error, ')}"
    value = _shown(error["input"])
    if error["type"] in _OUTSIDE:  # a number, also where the command line gave it as a text
        value = value.strip("'")
    return f"{name}: {value} {_fault(error, setting)}."


_OUTSIDE = {"greater_than_equal", "less_than_equal"}


def _fault(error: ErrorDetails, setting: Setting | None) -> str:
    if setting is None or setting.kind == "text":
        return f"is not valid: {error['msg']}"
    if setting.kind == "choice":
        return f"is not one of {', '.join(setting.choices)}"
    if setting.kind == "boolean":
        return "is neither true nor false"
    allowed = f"{setting.minimum}..{setting.maximum}"
    if error["type"] in _OUTSIDE:
        return f"is outside {allowed}"
    return f"is not {'a whole number' if setting.kind == 'integer' else 'a number'} in {allowed}"


_LONGEST = 80
"""Characters of a wrong value that a sentence shows."""


def _shown(value: Any) -> str:
    """Write a value down, but never a page of it."""
    if isinstance(value, int) and abs(value) >= 10**_LONGEST:
        return f"{Decimal(value):.2e}"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
