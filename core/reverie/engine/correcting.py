"""Corrections: regularizers that change the picture after a step instead of adding to its gradient.

They act on the whole picture, in place and in bands, and where there is a mask as strongly as the
step does. Source: Yosinski et al. 2015, Understanding Neural Networks Through Deep Visualization,
section 3; the formulas are in objectives/regularizers.py.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reverie.engine.canvas import bands, copied, empty, hand_back
from reverie.engine.gradient import smooth, smoothing_reach
from reverie.engine.wrapping import FRAME, Wraps, around
from reverie.errors import ObjectiveError
from reverie.objectives.regularizers import GREY, LARGEST_SIGMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reverie.objectives import Correction, Objective

_SAMPLE = 2**22
"""px that a percentile is taken of; of a larger picture, every second, third ... in order."""


def checked(objective: Objective) -> tuple[Correction, ...]:
    """Give an objective's corrections, their weights made part of their strengths.

    Raises:
        ObjectiveError: one is added, or too strong with its weight, or there is nothing to climb.
    """
    if not objective.layers:
        raise ObjectiveError(
            f"objective: {objective.text} has nothing to climb; add a layer, as in "
            "layer(eyes) - blur(1)."
        )
    return tuple(_weighted(each) for each in objective.corrections)


def _weighted(correction: Correction) -> Correction:
    kind, strength = correction.kind, -correction.weight * correction.strength
    if strength <= 0:
        raise ObjectiveError(
            f"objective: {kind} is added; it is a regularizer, which one subtracts: "
            f"layer(eyes) - {kind}({correction.strength:g})."
        )
    most = LARGEST_SIGMA if kind == "blur" else 100
    if strength > most or (strength == most and kind != "blur"):
        raise ObjectiveError(
            f"objective: {kind} has the strength {strength:g} with its weight; "
            f"{most:g} is too much for it."
        )
    return replace(correction, strength=strength, weight=-1.0)


class AfterStep:
    """What is to be done to the pictures after one step; made when its gradient is known.

    Args:
        corrections: with their strengths.
        step: which of its octave, from 1.
        gradient: of the objective, (N, 3, H, W), before it is smoothed or scaled.
        mask: (N or 1, 1, H, W) in 0..1; None is 1 everywhere.
        wraps: which of the picture's edges meet.
    """

    def __init__(
        self,
        corrections: Sequence[Correction],
        step: int,
        gradient: Tensor,
        mask: Tensor | None,
        wraps: Wraps = FRAME,
    ) -> None:
        self._wraps = wraps
        self._due = [each for each in corrections if step % each.every == 0]
        self._mask = mask
        contributes = any(each.kind == "clip_small_contribution" for each in self._due)
        self._gradient = copied(gradient) if contributes else None  # the step writes it over

    def correct(self, picture: Tensor) -> bool:
        """Do it to the pictures after the step, (N, 3, H, W), in place; False if nothing is due."""
        for correction in self._due:
            if correction.kind == "blur":
                self._blur(picture, correction.strength)
            else:
                norm = correction.kind == "clip_small_norm"
                # Of the pictures as they are after the step, as in the source: before it, what
                # went grey contributes nothing, and would stay grey for ever.
                scores = _scores(picture, None if norm else self._gradient)
                self._grey(picture, scores, correction.strength)
        return bool(self._due)

    def _blur(self, picture: Tensor, sigma: float) -> None:
        blur = partial(smooth, sigma=sigma, ratios=(1.0,))
        reach = smoothing_reach(sigma, (1.0,))
        if self._mask is None:
            around(blur, picture, reach, self._wraps)
            return
        blurred = around(blur, copied(picture), reach, self._wraps)
        for rows in bands(picture, blurred, self._mask):
            picture[:, :, rows].lerp_(blurred[:, :, rows], self._mask[:, :, rows])

    def _grey(self, picture: Tensor, scores: Tensor, percent: float) -> None:
        least = _percentile(scores, percent, self._mask)
        for rows in bands(picture, scores, self._mask):
            chosen = (scores[:, :, rows] < least).to(picture.dtype)
            if self._mask is not None:
                chosen *= self._mask[:, :, rows]
            picture[:, :, rows].lerp_(torch.full_like(chosen, GREY), chosen)


def _scores(picture: Tensor, gradient: Tensor | None) -> Tensor:
    """Give each pixel's norm, or with a gradient its contribution, (N, 1, H, W)."""
    scores = empty((len(picture), 1, *picture.shape[2:]), like=picture)
    for rows in bands(picture, gradient, scores):
        apart = picture[:, :, rows] - GREY
        if gradient is None:
            scores[:, :, rows] = apart.square().sum(dim=1, keepdim=True).sqrt()
        else:
            scores[:, :, rows] = (apart * gradient[:, :, rows]).sum(dim=1, keepdim=True).abs()
    return scores


def _percentile(scores: Tensor, percent: float, mask: Tensor | None) -> Tensor:
    """Give each picture's percentile, of what is selected, (N, 1, 1, 1)."""
    every = -(-scores[0].numel() // _SAMPLE)
    least = []
    for number in range(len(scores)):
        sample = scores[number].flatten()[::every]
        if mask is not None:
            chosen = sample[mask[number % len(mask)].flatten()[::every] > 0]
            sample = chosen if chosen.numel() else sample
        rank = 1 + round(percent / 100 * (sample.numel() - 1))
        least.append(sample.kthvalue(rank).values)
        hand_back(scores)
    return torch.stack(least).view(-1, 1, 1, 1)
