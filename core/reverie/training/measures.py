"""Measures of a network made for dreaming, beside its teacher's, on photographs it never saw."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from reverie.networks.embedded import FEATURES
from reverie.training.matching import gradient_cosines
from reverie.training.scenes import crop
from reverie.training.teacher import SEEN, inner, normalise, students

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from reverie.training.motifs import Array
    from reverie.training.teacher import Teacher

_BATCH = 24
_BORDER = 16
"""px at the edge in which gradients are not compared."""
_NEAR = 0.02
"""Cycles per px around a frequency of the grid that count as that frequency."""


def crops(photos: Mapping[str, Array], each: int = 12) -> Tensor:
    """Squares of photographs at many scales, (N, 3, SEEN, SEEN) normalised; always the same."""
    random = np.random.default_rng(9)
    found = [crop([photo], SEEN, random) for photo in photos.values() for _ in range(each)]
    return normalise(torch.from_numpy((np.stack(found) * 255).astype(np.uint8)))


@torch.no_grad()
def feature_match(
    student: Callable[[Tensor], Mapping[str, Tensor]], teacher: Teacher, images: Tensor
) -> dict[str, float]:
    """R2 by layer: the share of the variance of the teacher's features that the student explains.

    Over all cells and channels of all images, each channel around its own mean.
    """
    wrong = dict.fromkeys(FEATURES, 0.0)
    cells = dict.fromkeys(FEATURES, 0)
    total = {name: torch.zeros(count) for name, count in FEATURES.items()}
    squares = {name: torch.zeros(count) for name, count in FEATURES.items()}
    for batch in torch.split(images, _BATCH):
        wanted, found = teacher(batch), student(students(batch))
        for name in FEATURES:
            right = functional.relu(inner(name, wanted[name])).transpose(0, 1).flatten(1)
            given = inner(name, found[name]).transpose(0, 1).flatten(1)
            wrong[name] += float((right - given).square().sum())
            total[name] += right.sum(1)
            squares[name] += right.square().sum(1)
            cells[name] += right.shape[1]
    return {
        name: 1 - wrong[name] / float((squares[name] - total[name] ** 2 / cells[name]).sum())
        for name in FEATURES
    }


def gradient_match(
    student: Callable[[Tensor], Mapping[str, Tensor]], teacher: Teacher, images: Tensor
) -> dict[str, tuple[float, float]]:
    """Cosines, by layer, of the classic objective's gradients: full, and in squares of 4 px."""
    matches = {}
    for name in FEATURES:
        pairs = []
        for batch in torch.split(images, _BATCH):
            wanted = _gradient(partial(_of_teacher, teacher, name), batch)
            found = _gradient(partial(_of_student, student, name), students(batch))
            inside = slice(_BORDER, -_BORDER)
            pair = gradient_cosines(
                found[:, :, inside, inside], students(wanted)[:, :, inside, inside]
            )
            pairs.append(torch.stack(pair))
        full, low = torch.cat(pairs, dim=1).mean(1).tolist()
        matches[name] = (full, low)
    return matches


def _of_teacher(teacher: Teacher, name: str, image: Tensor) -> Tensor:
    return functional.relu(teacher(image, upto=name)[name])


def _of_student(
    student: Callable[[Tensor], Mapping[str, Tensor]], name: str, image: Tensor
) -> Tensor:
    return student(image)[name]


def _gradient(see: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    image = image.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(see(image).square().sum(), image)
    return gradient


def spectrum_slope(change: Array) -> float:
    """The slope of a picture's power over frequency, both as logarithms; photographs: about -2.

    Args:
        change: (H, W), what a dream added to the luminance.
    """
    power, frequency = _spectrum(change)
    edges = np.geomspace(0.02, 0.45, 14)
    ring = np.digitize(frequency, edges)
    means = [power[ring == number].mean() for number in range(1, len(edges))]
    middles = np.sqrt(edges[1:] * edges[:-1])
    return float(np.polyfit(np.log(middles), np.log(means), 1)[0])


def checkerboard(change: Array) -> float:
    """How much stronger a picture is at the frequencies of a network's grid than beside them.

    The ratio of mean powers at and around the multiples of 1/8 cycle per px, horizontal, vertical
    and both; 1 where there is no grid to be seen. Odena et al. 2016, "Deconvolution and
    checkerboard artifacts", has what one looks like.
    """
    power, _ = _spectrum(change)
    y = np.fft.fftfreq(change.shape[0])[:, None]
    x = np.fft.fftfreq(change.shape[1])[None]
    ratios = []
    for down in range(5):
        for right in range(5):
            if down == right == 0:
                continue
            apart = np.hypot(np.abs(y) - down / 8, np.abs(x) - right / 8)
            around = (apart > _NEAR) & (apart < 2.5 * _NEAR)
            ratios.append(power[apart < _NEAR / 2].mean() / power[around].mean())
    return float(np.mean(ratios))


def _spectrum(change: Array) -> tuple[Array, Array]:
    height, width = change.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    power = np.abs(np.fft.fft2((change - change.mean()) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    return power, frequency


@torch.no_grad()
def diversity(teacher: Teacher, picture: Array, dreams: Sequence[Array]) -> float:
    """How different dreams are: 1 less the mean cosine of what two of them added to a picture.

    What was added is the change of the teacher's deepest features, averaged over the picture.

    Args:
        picture: (SEEN, SEEN, 3) uint8.
        dreams: on it, of different channels, shaped like it.
    """
    images = normalise(torch.from_numpy(np.stack([picture, *dreams])))
    seen = teacher(images)["creatures"].relu().mean((2, 3))
    seen = functional.normalize(seen[1:] - seen[:1], dim=1)
    cosines = seen @ seen.T
    count = len(dreams)
    return float(1 - (cosines.sum() - count) / (count * (count - 1)))
