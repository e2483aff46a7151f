"""Regularizers: objectives that look at the picture itself, and that one subtracts.

Those that Yosinski et al. apply to the picture after a step are terms too: `layer(eyes) -
blur(0.5, every=4)`. Their weight is part of their strength: 0.5*blur(2) is blur(1). Zero is mid
grey for all of them, as a network's input is 0 near the mean of its training pictures.

Source: Yosinski, Clune, Nguyen, Fuchs, Lipson 2015, Understanding Neural Networks Through Deep
Visualization, section 3: x <- r(x + eta grad).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reverie.errors import ObjectiveError
from reverie.objectives.algebra import INPUT, ORIGINAL, Correction, Objective, local, objective

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

GREY = 0.5
"""What regularizers call zero, in 0..1."""
LARGEST_SIGMA = 64.0
"""px of a blur."""
_HIGHEST = 16.0
_ORIGINAL = ORIGINAL + INPUT


@objective("How rough the picture is; subtract it for smoother dreams.")
def total_variation(beta: float = 1.0, of: str = "picture") -> Objective:
    """The mean of |difference| ** beta over neighbouring pixels, on the scale 0..1.

    Anisotropic, and a mean where the paper has a sum: with beta = 2 the same as the paper's, with
    others not, since there both differences of a pixel go under one root.

    Args:
        beta: 1..4; 1 leaves sharp edges, 2 rounds them.
        of: "picture", or "change": of what the dream added to the original, whose own texture then
            stays.
    Source: Rudin, Osher, Fatemi 1992; Mahendran, Vedaldi 2015, "Regularisers", R_V; of the change:
    ours.
    """
    if not 1 <= beta <= 4:  # noqa: PLR2004
        raise ObjectiveError(f"total_variation: beta={beta} is outside 1..4.")
    if of not in {"picture", "change"}:
        raise ObjectiveError(f"total_variation: of={of!r} is not one of picture, change.")
    references = frozenset({_ORIGINAL} if of == "change" else ())

    def value(activations: Mapping[str, Tensor]) -> Tensor:
        image = activations[INPUT]
        if references:
            image = image - activations[_ORIGINAL]
        down = _power(image.diff(dim=2), beta).sum(dim=(1, 2, 3))
        right = _power(image.diff(dim=3), beta).sum(dim=(1, 2, 3))
        return (down + right) / image[0].numel()

    return Objective(frozenset({INPUT}), value, is_local=True, references=references)


@objective("How far the picture is from grey; subtract it for calmer colours.")
def l2() -> Objective:
    """The mean of (x - 1/2)^2, on the scale 0..1.

    Source: Simonyan et al. 2014, section 2; Yosinski et al. 2015, section 3, L2 decay.
    """
    return local(INPUT, lambda a: (a[INPUT] - GREY).square().mean(dim=(1, 2, 3)))


@objective("How far the picture is from the original; subtract it to hold on to that.")
def l2_to_original() -> Objective:
    """The mean of (x - o)^2, on the scale 0..1, o the undreamed picture at the octave's size.

    Source: lucid, optvis/objectives.py, input_diff, there with a root; as a term to subtract,
    Szegedy et al. 2014, Intriguing Properties of Neural Networks, section 4.1.
    """

    def value(activations: Mapping[str, Tensor]) -> Tensor:
        return (activations[INPUT] - activations[_ORIGINAL]).square().mean(dim=(1, 2, 3))

    return Objective(frozenset({INPUT}), value, is_local=True, references=frozenset({_ORIGINAL}))


@objective("How far the picture is from grey, mostly where it is far; subtract it.")
def alpha_norm(alpha: float = 6.0) -> Objective:
    """The mean of |x - 1/2| ** alpha, on the scale 0..1: it spares all but extreme colours.

    Args:
        alpha: 1..16.
    Source: Mahendran, Vedaldi 2015, "Regularisers", R_alpha, with alpha = 6; there a sum.
    """
    if not 1 <= alpha <= _HIGHEST:
        raise ObjectiveError(f"alpha_norm: alpha={alpha} is outside 1..{_HIGHEST:g}.")
    return local(INPUT, lambda a: _power(a[INPUT] - GREY, alpha).mean(dim=(1, 2, 3)))


@objective("Subtract it to blur the picture after a step: large shapes win over fine grain.")
def blur(sigma: float, every: int = 1) -> Objective:
    """A Gaussian blur of the picture, after every so many steps.

    Args:
        sigma: px, above 0 to 64.
        every: steps, counted in each octave; 4 blurs after the 4th, 8th, ...
    Source: Yosinski et al. 2015, section 3, Gaussian blur: r(x) = GaussianBlur(x, theta).
    """
    if not 0 < sigma <= LARGEST_SIGMA:
        raise ObjectiveError(f"blur: sigma={sigma} is not above 0 and up to {LARGEST_SIGMA:g} px.")
    return _correction(Correction("blur", float(sigma), _steps("blur", every)))


@objective("Subtract it to make pale pixels grey after a step: only what matters stays.")
def clip_small_norm(percent: float, every: int = 1) -> Objective:
    """Set the pixels with the smallest norm over the colours to mid grey.

    Those below the percentile of ||x - 1/2||, over red, green and blue.

    Args:
        percent: how many, above 0 to 100, exclusively.
        every: steps, counted in each octave.
    Source: Yosinski et al. 2015, section 3, clipping pixels with small norm.
    """
    _check_percent("clip_small_norm", percent)
    every = _steps("clip_small_norm", every)
    return _correction(Correction("clip_small_norm", float(percent), every))


@objective("Subtract it to make pixels grey that do not raise the objective.")
def clip_small_contribution(percent: float, every: int = 1) -> Objective:
    """Set the pixels that contribute least to mid grey.

    Those below the percentile of |sum_c (x_c - 1/2) g_c|, the first-order change of the objective
    if the pixel went grey; x is the picture after the step, g the gradient of that step.

    Args:
        percent: how many, above 0 to 100, exclusively.
        every: steps, counted in each octave.
    Source: Yosinski et al. 2015, section 3, clipping pixels with small contribution.
    """
    _check_percent("clip_small_contribution", percent)
    every = _steps("clip_small_contribution", every)
    return _correction(Correction("clip_small_contribution", float(percent), every))


def _power(values: Tensor, power: float) -> Tensor:
    return values.abs() if power == 1 else values.abs() ** power


def _correction(correction: Correction) -> Objective:
    """A term that has no value of its own."""
    return Objective(
        frozenset(),
        lambda a: a[INPUT].new_zeros(len(a[INPUT])),
        is_local=True,
        corrections=(correction,),
    )


def _steps(call: str, every: int) -> int:
    if every < 1:
        raise ObjectiveError(f"{call}: every={every} is too few; it is a number of steps from 1.")
    return int(every)


def _check_percent(call: str, percent: float) -> None:
    if not 0 < percent < 100:  # noqa: PLR2004
        raise ObjectiveError(f"{call}: {percent} is no percentage between 0 and 100.")
