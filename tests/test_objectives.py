"""Objectives: each term against a case made by hand, its gradient, and the algebra of all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reverie import Objective, ObjectiveError, objective
from reverie.objectives import (
    BUILT_IN,
    GUIDE,
    INPUT,
    channel,
    guide,
    layer,
    mean,
    neuron,
    total_variation,
)

TERMS = [
    layer("eyes"),
    mean("eyes"),
    channel("eyes", 1),
    neuron("eyes", 2, x=0.9, y=0.2),
    guide("eyes"),
    total_variation(),
]
each_term = pytest.mark.parametrize("term", TERMS, ids=str)


def climb(term: Objective, activation: Tensor) -> Tensor:
    # Of the guide only its being there matters here; tests/test_guide.py has the rest.
    seen = torch.linspace(-1, 1, activation.shape[1] * 4, dtype=activation.dtype)
    seen = seen.view(1, -1, 2, 2)
    return term.value({"eyes": activation, INPUT: activation, GUIDE + "eyes": seen})


@pytest.fixture
def activation() -> Tensor:
    """(2, 3, 4, 5) float64, no two values alike."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn((2, 3, 4, 5), generator=generator, dtype=torch.float64)


@pytest.fixture
def steps() -> Tensor:
    """(2, 2, 2, 3): 0..11, and twice that."""
    first = torch.arange(12, dtype=torch.float64).view(1, 2, 2, 3)
    return torch.cat([first, 2 * first])


def test_every_built_in_is_tested_here() -> None:
    assert [term.text.partition("(")[0] for term in TERMS] == [term.name for term in BUILT_IN]


@pytest.mark.parametrize(
    ("term", "first"),
    [
        (layer("eyes"), sum(i * i for i in range(12)) / 12 / 2),
        (mean("eyes"), 5.5),
        (channel("eyes", 0), 2.5),
        (channel("eyes", 1), 8.5),
        (neuron("eyes", 0), 4.0),
        (neuron("eyes", 1, x=0, y=0), 6.0),
        (neuron("eyes", 1, x=1, y=1), 11.0),
        (neuron("eyes", 1, x=0.34, y=0.49), 7.0),
        # In each of 2 channels 3 pairs lie 3 apart downwards and 4 pairs 1 apart to the right.
        (total_variation(), (2 * 3 * 3 + 2 * 4 * 1) / 12),
    ],
    ids=str,
)
def test_a_term_has_the_value_computed_by_hand(
    term: Objective, first: float, steps: Tensor
) -> None:
    factor = 4 if term.text.startswith("layer") else 2
    assert climb(term, steps).tolist() == pytest.approx([first, factor * first])


def test_the_gradient_of_the_classic_objective_is_the_layer_itself(activation: Tensor) -> None:
    activation.requires_grad_()
    (gradient,) = torch.autograd.grad(climb(layer("eyes"), activation).sum(), activation)
    torch.testing.assert_close(gradient, activation.detach() / activation[0].numel())


@each_term
def test_the_gradient_is_right(term: Objective, activation: Tensor) -> None:
    activation.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: climb(term, x), activation)


@each_term
def test_each_picture_of_a_batch_has_a_value_of_its_own(
    term: Objective, activation: Tensor
) -> None:
    together = climb(term, activation)
    alone = [climb(term, picture[None]).item() for picture in activation]
    assert together.shape == (2,)
    assert together.tolist() == alone


@each_term
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_and_input_stay(term: Objective, activation: Tensor, dtype: torch.dtype) -> None:
    given = activation.to(dtype)
    before = given.clone()
    assert climb(term, given).dtype == dtype
    assert torch.equal(given, before)


@each_term
def test_a_term_looks_only_at_the_layers_it_names(term: Objective, activation: Tensor) -> None:
    (name,) = term.layers
    seen = term.guided_by({name: activation[:1]})
    assert seen.value({name: activation}).shape == (2,)


def test_one_pixel_is_not_rough() -> None:
    assert total_variation().value({INPUT: torch.full((1, 3, 1, 1), 0.5)}).tolist() == [0]


def test_a_checkerboard_is_as_rough_as_a_picture_can_be() -> None:
    board = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(50, 50).expand(1, 3, 100, 100)
    assert total_variation().value({INPUT: board}).item() == pytest.approx(2 * 0.99)


def test_sums_differences_and_weights_are_linear(activation: Tensor) -> None:
    a, b = mean("eyes"), channel("eyes", 2)
    both = 2 * a - (b * 0.5 + a) + -b
    expected = 2 * climb(a, activation) - 1.5 * climb(b, activation) - climb(a, activation)
    torch.testing.assert_close(climb(both, activation), expected)
    assert both.text == (
        '2*mean("eyes") - (0.5*channel("eyes", 2) + mean("eyes")) + (-channel("eyes", 2))'
    )


def test_a_sum_looks_at_the_layers_of_all_its_terms() -> None:
    assert (layer("a") - 2 * layer("b") + total_variation()).layers == {"a", "b", INPUT}


@pytest.mark.parametrize("index", [-1, 3, 10**20])
@pytest.mark.parametrize("term", [channel, neuron])
def test_a_channel_that_is_not_there_is_told_with_its_range(
    term: Any, index: int, activation: Tensor
) -> None:
    with pytest.raises(ObjectiveError) as caught:
        climb(term("eyes", index), activation)
    assert str(caught.value) == f"channel: {index} is outside 0..2 of layer 'eyes'."


@pytest.mark.parametrize(("x", "y"), [(-0.1, 0), (0, 1.1), (float("nan"), 0)])
def test_a_neuron_outside_the_picture_is_told(x: float, y: float) -> None:
    with pytest.raises(ObjectiveError, match=r"is (outside 0\.\.1|neither a finite number)"):
        neuron("eyes", 0, x=x, y=y)


def test_wrong_arguments_are_told_at_once_in_python_too() -> None:
    with pytest.raises(ObjectiveError, match="channel: index is 'x', not a whole number"):
        channel("eyes", "x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="too many positional arguments"):
        layer("eyes", 3)  # type: ignore[call-arg]
    with pytest.raises(ObjectiveError, match="one kind of quotes"):
        layer("\"'")


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), -float("inf")])
def test_a_weight_that_is_no_finite_number_is_refused(weight: float) -> None:
    with pytest.raises(ObjectiveError, match="neither a finite number"):
        weight * layer("eyes")


@pytest.mark.parametrize("other", [layer("eyes"), "eyes", None, torch.ones(2)])
def test_an_objective_is_multiplied_by_plain_numbers_only(other: Any) -> None:
    with pytest.raises(TypeError):
        layer("eyes") * other


@pytest.mark.parametrize("other", [1, "eyes", None])
def test_only_objectives_are_added_to_objectives(other: Any) -> None:
    with pytest.raises(TypeError):
        layer("eyes") + other
    with pytest.raises(TypeError):
        layer("eyes") - other


def test_the_numbers_of_numpy_are_numbers() -> None:
    three, half, two = np.int64(3), np.float64(0.5), np.float32(2)
    numbers: list[Any] = [three, half, two]
    made = channel("eyes", numbers[0]) * numbers[1] - numbers[2] * layer("eyes")
    assert made.text == '0.5*channel("eyes", 3) - 2.0*layer("eyes")'


def test_a_decorated_function_is_a_factory_that_writes_its_calls_down() -> None:
    @objective("The contrast inside a layer.")
    def contrast(name: str, power: float = 2) -> Objective:
        return Objective(frozenset({name}), lambda a: a[name].std(dim=(1, 2, 3)) ** power)

    assert contrast.name == "contrast"
    assert contrast.summary == "The contrast inside a layer."
    assert contrast("eyes").text == 'contrast("eyes")'
    assert contrast("eyes", power=0.5).text == 'contrast("eyes", power=0.5)'


def test_only_what_is_local_all_through_may_be_climbed_in_tiles() -> None:
    local, other = layer("a"), neuron("a", 0)
    made = [local, -local, 2 * local, local - total_variation() * 0.5, mean("a") + channel("a", 1)]
    assert all(each.is_local for each in made)
    assert not any(each.is_local for each in (other, -other, 2 * other, local + other))
