"""Objectives: what a dream climbs, as one small algebra (lucid's), and the built-in terms.

An objective turns the activations of some layers into one value for each picture; the engine
climbs it. Terms combine with + and -, and with numbers by * and /. Regularizers are objectives that
one subtracts; so is "less of this": `- channel(eyes, 3)`. Values are means, not sums, so that
weights mean the same at every size of picture.
"""

from __future__ import annotations

from reverie.objectives.activations import (
    absolute,
    channel,
    channels,
    direction,
    direction_neuron,
    layer,
    mean,
    neuron,
)
from reverie.objectives.algebra import (
    GUIDE,
    INPUT,
    ORIGINAL,
    TARGET,
    Correction,
    Look,
    Objective,
    objective,
)
from reverie.objectives.batches import diversity
from reverie.objectives.choosing import above_average, middling, strongest, weakest
from reverie.objectives.classes import logit
from reverie.objectives.guides import guide, guide_mean
from reverie.objectives.originals import caricature, invert
from reverie.objectives.regularizers import (
    alpha_norm,
    blur,
    clip_small_contribution,
    clip_small_norm,
    l2,
    l2_to_original,
    total_variation,
)

BUILT_IN = (
    *(layer, mean, absolute, channel, channels, neuron, direction, direction_neuron),
    *(strongest, weakest, middling, above_average, logit),
    *(guide, guide_mean, invert, caricature, diversity),
    *(total_variation, l2, l2_to_original, alpha_norm),
    *(blur, clip_small_norm, clip_small_contribution),
)

__all__ = [
    "BUILT_IN",
    "GUIDE",
    "INPUT",
    "ORIGINAL",
    "TARGET",
    "Correction",
    "Look",
    "Objective",
    "above_average",
    "absolute",
    "alpha_norm",
    "blur",
    "caricature",
    "channel",
    "channels",
    "clip_small_contribution",
    "clip_small_norm",
    "direction",
    "direction_neuron",
    "diversity",
    "guide",
    "guide_mean",
    "invert",
    "l2",
    "l2_to_original",
    "layer",
    "logit",
    "mean",
    "middling",
    "neuron",
    "objective",
    "strongest",
    "total_variation",
    "weakest",
]
