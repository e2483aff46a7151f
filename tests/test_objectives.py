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
    ORIGINAL,
    TARGET,
    above_average,
    absolute,
    alpha_norm,
    blur,
    caricature,
    channel,
    channels,
    clip_small_contribution,
    clip_small_norm,
    direction,
    direction_neuron,
    diversity,
    guide,
    guide_mean,
    invert,
    l2,
    l2_to_original,
    layer,
    logit,
    mean,
    middling,
    neuron,
    strongest,
    total_variation,
    weakest,
)

TERMS = [
    layer("eyes"),
    mean("eyes"),
    absolute("eyes"),
    channel("eyes", 1),
    channels("eyes", 0, 2),
    neuron("eyes", 2, x=0.9, y=0.2),
    direction("eyes", "0:3 2:-4", cossim_power=1.5),
    direction_neuron("eyes", "1 0 -0.5", x=0.2, y=0.9, cossim_power=1),
    strongest("eyes", 2),
    weakest("eyes"),
    middling("eyes"),
    above_average("eyes"),
    guide("eyes"),
    guide_mean("eyes"),
    invert("eyes"),
    caricature("eyes", cossim_power=2, of="guide"),
    diversity("eyes"),
    total_variation(1.5),
    total_variation(of="change"),
    l2(),
    l2_to_original(),
    alpha_norm(3),
]
CORRECTIONS = [blur(1), clip_small_norm(30), clip_small_contribution(30, every=2)]
each_term = pytest.mark.parametrize("term", TERMS, ids=str)


def climb(term: Objective, activation: Tensor, other: Tensor | None = None) -> Tensor:
    # Of the guide only its being there matters here; tests/test_guide.py has the rest.
    seen = torch.linspace(-1, 1, activation.shape[1] * 4, dtype=activation.dtype)
    seen = seen.view(1, -1, 2, 2)
    if other is None:
        other = activation.detach().flip(2, 3) / 2 + 0.1
    given = {"eyes": activation, INPUT: activation, GUIDE + "eyes": seen}
    given |= {before + name: other for before in (ORIGINAL, TARGET) for name in ("eyes", INPUT)}
    for look in term.looks:
        given[look.key] = look.find(given[look.at].detach())
    return term.value(given)


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
    here = {str(term).partition("(")[0] for term in (*TERMS, *CORRECTIONS, logit(0))}
    assert here == {term.name for term in BUILT_IN}


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
        (absolute("eyes"), 5.5),
        (channels("eyes", 1), 8.5),
        (channels("eyes", 0, 1, 1), (2.5 + 8.5 + 8.5) / 3),
        # Along (3, -4) / 5: (3 i - 4 (i + 6)) / 5 at position i.
        (direction("eyes", "0:3 1:-4"), sum((3 * i - 4 * (i + 6)) / 5 for i in range(6)) / 6),
        (direction("eyes", "3, -4"), sum((3 * i - 4 * (i + 6)) / 5 for i in range(6)) / 6),
        (direction_neuron("eyes", "0:3 1:-4", x=1, y=0), (3 * 2 - 4 * 8) / 5),
        (strongest("eyes"), 8.5),
        (strongest("eyes", 2), 5.5),
        (weakest("eyes"), 2.5),
        (middling("eyes"), 2.5),
        (above_average("eyes"), 8.5),
        (l2(), sum((i - 0.5) ** 2 for i in range(12)) / 12),
        (alpha_norm(3), sum(abs(i - 0.5) ** 3 for i in range(12)) / 12),
        (total_variation(2), (2 * 3 * 9 + 2 * 4 * 1) / 12),
        # In each of 2 channels 3 pairs lie 3 apart downwards and 4 pairs 1 apart to the right.
        (total_variation(), (2 * 3 * 3 + 2 * 4 * 1) / 12),
    ],
    ids=str,
)
def test_a_term_has_the_value_computed_by_hand(
    term: Objective, first: float, steps: Tensor
) -> None:
    name = term.text.partition("(")[0]
    factor = 4 if name == "layer" else 2
    values = climb(term, steps).tolist()
    assert values[0] == pytest.approx(first)
    if name in {"l2", "alpha_norm", "total_variation"}:
        return  # not homogeneous, or of another degree
    assert values[1] == pytest.approx(factor * first)


def test_the_gradient_of_the_classic_objective_is_the_layer_itself(activation: Tensor) -> None:
    activation.requires_grad_()
    (gradient,) = torch.autograd.grad(climb(layer("eyes"), activation).sum(), activation)
    torch.testing.assert_close(gradient, activation.detach() / activation[0].numel())


@each_term
def test_the_gradient_is_right(term: Objective, activation: Tensor) -> None:
    other = activation.flip(2, 3) / 2 + 0.1
    activation.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: climb(term, x, other), activation)


@each_term
def test_each_picture_of_a_batch_has_a_value_of_its_own(
    term: Objective, activation: Tensor
) -> None:
    together = climb(term, activation)
    assert together.shape == (2,)
    if not term.sees_batch:
        assert together.tolist() == [climb(term, each[None]).item() for each in activation]


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
    given = {name: activation, **dict.fromkeys(term.references, activation / 2)}
    given |= {look.key: look.find(given[look.at]) for look in term.looks}
    assert seen.value(given).shape == (2,)


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


# -- what compares, chooses, and looks at a batch -------------------------------------------------


def test_inversion_is_the_papers_distance(steps: Tensor) -> None:
    # || a - o ||^2 / || o ||^2 with o = a + 1: 12 over the sum of squares of 1..12.
    value = climb(invert("eyes"), steps[:1], steps[:1] + 1)
    assert value.tolist() == pytest.approx([-12 / sum(i * i for i in range(1, 13))])
    assert climb(invert("eyes"), steps, steps).tolist() == [0, 0]


def test_a_caricature_is_the_dot_product_weighed_by_the_cosine() -> None:
    seen = torch.tensor([[3.0, 4.0]], dtype=torch.float64).view(1, 2, 1, 1)
    wanted = torch.tensor([[1.0, 0.0]], dtype=torch.float64).view(1, 2, 1, 1)
    for power in (0.0, 1.0, 2.0):
        value = climb(caricature("eyes", cossim_power=power), seen, wanted)
        assert value.item() == pytest.approx(3 * 0.6**power / 2, rel=1e-3)
    against = climb(caricature("eyes"), seen, -wanted)
    assert against.item() == pytest.approx(-3 * 0.1 / 2), "a cosine never counts less than 0.1"


def test_the_mean_of_the_guide_is_compared_channel_by_channel(steps: Tensor) -> None:
    # The guide's channels have the means -4/7 and 4/7, those of the picture 2.5 and 8.5.
    value = climb(guide_mean("eyes"), steps[:1])
    assert value.tolist() == pytest.approx([-((2.5 + 4 / 7) ** 2 + (8.5 - 4 / 7) ** 2) / 2])


def test_roughness_of_the_change_lets_the_original_have_its_own(steps: Tensor) -> None:
    change = torch.zeros_like(steps)
    change[:, :, 0, 1] = 0.5  # in two channels of 2 x 3: one difference down, two across
    value = climb(total_variation(of="change"), change.sub(steps), -steps)
    assert value.tolist() == pytest.approx([2 * 3 * 0.5 / 12] * 2)
    assert climb(total_variation(2, of="change"), steps, steps).tolist() == [0, 0]
    with pytest.raises(ObjectiveError, match="of='guide' is not one of picture, change"):
        total_variation(of="guide")


def test_holding_on_to_the_original_is_a_mean_square(steps: Tensor) -> None:
    assert climb(l2_to_original(), steps, steps - 0.5).tolist() == pytest.approx([0.25, 0.25])


def test_diversity_is_minus_the_cosines_of_gram_matrices() -> None:
    batch = torch.zeros(3, 2, 1, 2, dtype=torch.float64)
    batch[0, 0], batch[1, 1], batch[2] = 2.0, 3.0, 1.0
    # Gram matrices: one at (0, 0), one at (1, 1), and one of equal numbers: cosines 0, 1/2, 1/2.
    assert climb(diversity("eyes"), batch).tolist() == pytest.approx([-0.5, -0.5, -1.0])
    assert climb(diversity("eyes"), batch[:1]).tolist() == pytest.approx([0])


def test_a_picture_that_shows_nothing_gives_no_nan() -> None:
    nothing = torch.zeros(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    for term in TERMS:
        value = climb(term, nothing)
        (gradient,) = torch.autograd.grad(value.sum(), nothing, allow_unused=True)
        assert torch.isfinite(value).all(), term
        assert torch.isfinite(gradient).all(), term


def test_each_picture_chooses_channels_of_its_own(steps: Tensor) -> None:
    turned = torch.stack([steps[0], steps[0].flip(0)])
    (look,) = strongest("eyes").looks
    assert look.find(turned).tolist() == [[0, 1], [1, 0]]
    (look,) = above_average("eyes").looks
    assert look.find(torch.ones(1, 4, 2, 2)).tolist() == [[0.25] * 4], "all alike: all of them"


def test_which_of_equal_channels_is_chosen_is_not_left_to_chance() -> None:
    (look,) = weakest("eyes", 2).looks
    assert look.find(torch.ones(1, 4, 2, 2)).tolist() == [[0.5, 0.5, 0, 0]]


def test_what_is_silent_all_over_is_not_chosen_unless_there_is_nothing_else() -> None:
    shown = torch.arange(5.0).view(1, 5, 1, 1) * torch.ones(1, 5, 2, 2)
    shown[:, 1] = 0
    chosen = [[*term.looks[0].find(shown)[0]] for term in (weakest("a", 2), middling("a"))]
    assert chosen == [[0, 0, 0.5, 0.5, 0], [0, 0, 0, 1, 0]]
    assert weakest("a", 4).looks[0].find(shown).tolist() == [[0.25, 0.25, 0.25, 0.25, 0]]


def test_two_terms_that_want_to_know_the_same_look_once() -> None:
    both = strongest("eyes", 3) + 2 * strongest("eyes", 3) - strongest("eyes", 2)
    assert len(both.looks) == 2


def test_less_of_something_is_a_minus(activation: Tensor) -> None:
    less = layer("eyes") - 2 * channel("eyes", 1)
    expected = climb(layer("eyes"), activation) - 2 * climb(channel("eyes", 1), activation)
    torch.testing.assert_close(climb(less, activation), expected)


def test_objectives_are_divided_by_numbers(activation: Tensor) -> None:
    made = (layer("eyes") + mean("eyes")) / 4
    torch.testing.assert_close(
        climb(made, activation),
        (climb(layer("eyes"), activation) + climb(mean("eyes"), activation)) / 4,
    )
    assert made.text == '(layer("eyes") + mean("eyes"))/4'
    assert (layer("eyes") / -2).text == '-layer("eyes")/2'
    for number in (0, 1e-320):
        with pytest.raises(ObjectiveError, match="cannot be divided by"):
            layer("eyes") / number
    with pytest.raises(TypeError):
        layer("eyes") / layer("rings")  # type: ignore[operator]


def test_corrections_carry_their_weight_and_are_worth_nothing(activation: Tensor) -> None:
    made = layer("eyes") - 0.5 * (blur(2, every=4) + clip_small_norm(30) / 2)
    assert [each.weight for each in made.corrections] == [-0.5, -0.25]
    assert made.corrections[0].every == 4
    torch.testing.assert_close(climb(made, activation), climb(layer("eyes"), activation))
    assert made.is_local
    assert made.layers == {"eyes"}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: channels("eyes"), "none is named"),
        (lambda: direction("eyes", "7:1 x"), "is no direction; write pairs"),
        (lambda: direction("eyes", ""), "is no direction"),
        (lambda: direction("eyes", "0:0"), "is no direction"),
        (lambda: direction("eyes", "1:1 1:2"), "is no direction"),
        (lambda: direction("eyes", "-1:1"), "is no direction"),
        (lambda: direction("eyes", "0:inf"), "is no direction"),
        (lambda: direction("eyes", "0:nan"), "is no direction"),
        (lambda: direction("eyes", "0:1", cossim_power=17), r"outside 0\.\.16"),
        (lambda: direction_neuron("eyes", "0:1", x=2), r"x=2, y=0\.5 is outside"),
        (lambda: strongest("eyes", 0), "count=0 is too few"),
        (lambda: weakest("eyes", when="never"), "'never' is not one of octave, dream"),
        (lambda: invert("eyes", of="me"), "of='me' is not one of original, guide"),
        (lambda: caricature("eyes", -1), r"outside 0\.\.16"),
        (lambda: total_variation(0.5), r"beta=0\.5 is outside 1\.\.4"),
        (lambda: alpha_norm(0), r"alpha=0 is outside 1\.\.16"),
        (lambda: blur(0), "sigma=0 is not above 0 and up to 64"),
        (lambda: blur(1, every=0), "every=0 is too few"),
        (lambda: clip_small_norm(100), "100 is no percentage"),
        (lambda: clip_small_contribution(-1), "-1 is no percentage"),
        (lambda: logit(1.5), "neither a word nor a whole number"),  # type: ignore[arg-type]
    ],
)
def test_what_makes_no_sense_is_told_in_a_sentence(make: Any, said: str) -> None:
    with pytest.raises(ObjectiveError, match=said):
        make()


def test_channels_that_are_not_there_are_told_when_the_layer_is_known(activation: Tensor) -> None:
    for term, said in (
        (channels("eyes", 0, 3), "channel: 3 is outside 0..2 of layer 'eyes'"),
        (direction("eyes", "3:1"), "channel 3 is outside 0..2 of layer 'eyes'"),
        (direction("eyes", "1 2"), "2 numbers are given, and layer 'eyes' has 3 channels"),
        (strongest("eyes", 4), "count=4 is outside 1..3 of 'eyes'"),
    ):
        with pytest.raises(ObjectiveError) as caught:
            climb(term, activation)
        assert said in str(caught.value)
