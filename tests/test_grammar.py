"""The text of objectives: it is read by a whitelist grammar, and nothing in it is ever run."""

from __future__ import annotations

import builtins
import random
from typing import TYPE_CHECKING, Any

import pytest
import torch

from reverie import Objective, ObjectiveError, ObjectiveFactory
from reverie.grammar import MAX_DEPTH, MAX_LENGTH, parse_objective
from reverie.objectives import BUILT_IN, channel, layer, mean, neuron, total_variation
from reverie.plugins import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

FACTORIES: Mapping[str, ObjectiveFactory[Any]] = {factory.name: factory for factory in BUILT_IN}


def parse(text: str) -> Objective:
    return parse_objective(text, FACTORIES)


def sentence(text: str) -> str:
    with pytest.raises(ObjectiveError) as caught:
        parse(text)
    return str(caught.value)


class Activations(dict[str, "Tensor"]):
    """Activations of every layer that is asked for, (2, 4, 3, 5), different for each name."""

    def __missing__(self, name: str) -> Tensor:
        generator = torch.Generator().manual_seed(sum(map(ord, name)))
        return torch.rand((2, 4, 3, 5), generator=generator, dtype=torch.float64)


def value(objective: Objective) -> list[float]:
    found: list[float] = objective.value(Activations()).tolist()
    return found


A, B, C = layer("a"), layer("b"), layer("c")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("a", A),
        ("layer(a)", A),
        ("  layer ( \n a )  ", A),
        ('"a"', A),
        ("features.10", layer("features.10")),
        ("Mixed_6b.branch7x7dbl_2.conv", layer("Mixed_6b.branch7x7dbl_2.conv")),
        ("layer(features.10)", layer("features.10")),
        ("'my layer (2)'", layer("my layer (2)")),
        ('layer("it\'s")', layer("it's")),
        ("layer('a \"b\"')", layer('a "b"')),
        ("mean(a)", mean("a")),
        ("channel(a, 3)", channel("a", 3)),
        ("channel(index=3, name='a')", channel("a", 3)),
        ("neuron(a, 1, y=.25, x=1.)", neuron("a", 1, x=1.0, y=0.25)),
        ("total_variation()", total_variation()),
        ("a + b - c", A + B - C),
        ("a - b + c", (A - B) + C),
        ("a - (b + c)", A - (B + C)),
        ("a - b - c", (A - B) - C),
        ("2*a + b", 2 * A + B),
        ("a + 2*b", A + 2 * B),
        ("2*(a + b)", 2 * (A + B)),
        ("a*2", 2 * A),
        ("2*a*3", 6 * A),
        ("2*3*a", 6 * A),
        ("-a + b", B - A),
        ("-2*a - b", -2 * A - B),
        ("-(a + b)", -1 * A - B),
        ("a - (-b)", A + B),
        ("((((a))))", A),
        ("a/2", 0.5 * A),
        ("a/2/4", 0.125 * A),
        ("3*a/2*4", 6 * A),
        ("b - (a + b)/2", 0.5 * B - 0.5 * A),
        ("1e-3*a + 2.5E2*b", 0.001 * A + 250 * B),
    ],
)
def test_a_text_means_what_it_means_in_arithmetic(text: str, meant: Objective) -> None:
    objective = parse(text)
    assert value(objective) == pytest.approx(value(meant), rel=1e-12)
    assert objective.layers == meant.layers


@pytest.mark.parametrize(
    "made",
    [
        A,
        -A,
        -1 * -A,
        2 * -A,
        A - -B,
        A + (-0.5) * B,
        -0.5 * (A + B),
        -(A - B),
        3 * (2 * (A - B) * 4),
        A - (B - (C - A)),
        A / 3,
        A / 3 / 7,
        (3 * A) / 7,
        3 * (A / 7),
        (A / 3 * 7) / 11,
        -A / 3 - (B - C / 5) / -7,
        (A + B) / 3 * 7,
        1e-07 * A + 1e30 * B - 10**40 * C,
        layer('a "b"') + layer("it's (not) - easy") - layer("x*2"),
        neuron("a", 0, x=0.1, y=1e-9) - 0.5 * channel(name="b", index=2) + total_variation(),
    ],
    ids=str,
)
def test_what_python_makes_is_written_and_read_back_with_the_same_value(made: Objective) -> None:
    again = parse(str(made))
    assert value(again) == value(made)
    assert again.layers == made.layers
    assert parse(again.text).text == again.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' has 'the end' where a layer, a call or ( should be"),
        ("   ", "has 'the end' where a layer"),
        ("1", "has 'the end' where '*' should be"),
        ("*", "has '*' where a layer"),
        ("a b", "has 'b' where +, -, * or / and another term should be"),
        ("a +", "has 'the end' where a layer"),
        ("a * b", "has 'b' where a number after * should be"),
        ("a / b", "has 'b' where a number after / should be"),
        ("2/a", "has '/' where '*' should be"),
        ("a/-2", "has '-' where a number after / should be"),
        ("a/0", "cannot be divided by 0"),
        ("2 + a", "has '+' where '*' should be"),
        ("2 a", "has 'a' where '*' should be"),
        ("--a", "has '-' where a layer"),
        ("(a", "has 'the end' where ')' should be"),
        ("a)", "has ')' where +"),
        ("layer(a", "has 'the end' where ',' should be"),
        ("layer(a,)", "has ')' where a number or a name should be"),
        ("layer(, a)", "has ',' where a number or a name should be"),
        ("layer(layer(a))", "has '(' where ',' should be"),
        ("layer(-a)", "has 'a' where a number or a name should be"),
        ("layer('a)", 'is not understood at "\'a)"'),
        ("10a", "is not understood at '10a'"),
        ("a; b", "is not understood at '; b'"),
        ("1e999*a", "the number 1e999 is too large"),
        ("9" * 400 + "*a", "is too large"),
        ("channel(a, index=1, index=2)", "channel(...) has index twice"),
    ],
)
def test_what_breaks_the_grammar_is_told_where(text: str, said: str) -> None:
    assert said in sentence(text)


@pytest.mark.parametrize(
    "text",
    [
        '__import__("os")',
        '__import__("os").system("true")',
        "layer(a).value",
        "layer.__class__",
        "layer.make(a)",
        "(lambda: 1)()",
        "lambda x: x",
        "[a for a in b]",
        "open('/etc/passwd')",
        "exec('1')",
        "layer(open('x'))",
        "layer(*a)",
        "layer(**a)",
        "a if b else c",
        "a := b",
        "f'{a}'",
        "a\x00b()",
        "\\u0061()",
    ],
)
def test_code_is_refused_and_never_run(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        pytest.fail("something was run")

    with monkeypatch.context() as patched:
        for name in ("eval", "exec", "compile", "open"):
            patched.setattr(builtins, name, forbidden)
        try:
            objective = parse(text)
        except ObjectiveError:
            return
    assert set(objective.layers) == {text}, "at most it is the odd name of a layer"


def test_depth_and_length_are_limited() -> None:
    deepest = "(" * MAX_DEPTH + "a" + ")" * MAX_DEPTH
    assert value(parse(deepest)) == value(A)
    assert "more than 20 parentheses" in sentence(f"({deepest})")
    assert "more than 20 parentheses" in sentence("(" * 900)
    longest = "a" * MAX_LENGTH
    assert parse(longest).layers == {longest}
    assert "has 1001 characters; up to 1000 are read" in sentence(longest + "a")


@pytest.mark.parametrize("term", ["a+", "1*"])
def test_the_longest_text_can_be_climbed_without_running_out_of_stack(term: str) -> None:
    assert len(value(parse(term * (MAX_LENGTH // 2 - 1) + "a"))) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("chanel(a, 1)", "there is no objective 'chanel'; did you mean 'channel'"),
        ("zzz(a)", "there is no objective 'zzz'; known: "),
        ("layer()", "layer(...) does not fit: missing a required argument: 'name'"),
        ("layer(a, b)", "layer(...) does not fit: too many positional arguments"),
        ("l2(a)", "l2(...) does not fit: too many positional arguments"),
        ("channel(a, 1, name=b)", "channel(...) does not fit: multiple values for argument 'name'"),
        ("channel(a, chanel=1)", "channel(...) does not fit: "),
        ("layer(1)", "layer: name is 1, not a name."),
        ('channel(a, "x")', "channel: index is 'x', not a whole number."),
        ("channel(a, 1.5)", "channel: index is 1.5, not a whole number."),
        ("channel(1, a)", "channel: name is 1, not a name."),
        ("neuron(a, 1, x=left)", "neuron: x is 'left', not a number."),
        ("neuron(a, 1, 2, 0)", "neuron: x=2, y=0 is outside 0..1"),
    ],
)
def test_wrong_arguments_are_told_when_the_text_is_read(text: str, said: str) -> None:
    assert said in sentence(text)


def test_calls_come_from_the_registry_and_from_nowhere_else() -> None:
    def peak(name: str, *others: str) -> Objective:
        return Objective(frozenset({name, *others}), lambda a: a[name].amax(dim=(1, 2, 3)))

    factory = ObjectiveFactory(name="peak", summary="The peak of a layer.", make=peak)
    objective = parse_objective("0.5*peak(a, b, c)", {**FACTORIES, "peak": factory})
    assert objective.text == '0.5*peak("a", "b", "c")'
    assert value(objective) == value(0.5 * factory("a"))
    with pytest.raises(ObjectiveError, match="peak: others is 3, not a name"):
        parse_objective("peak(a, b, 3)", {"peak": factory})
    with pytest.raises(ObjectiveError, match="there is no objective 'peak'"):
        parse_objective("peak(a)", Registry(installed=[]).objectives())


def test_whatever_a_stranger_writes_only_an_objective_error_comes_out() -> None:
    pieces = [
        *("layer", "channel", "neuron", "total_variation", "mean", "eyes", "features.10", "_"),
        *(
            "(",
            ")",
            "(",
            ")",
            ",",
            "=",
            "+",
            "-",
            "*",
            "/",
            " ",
            "\n",
            '"',
            "'",
            "\\",
            ".",
            "é",
            "\x00",
        ),
        *("0", "1", "7.5", ".5", "1e9", "1e999", "-1", "name=", "index=3", '"a b"', "'c'"),
    ]
    chance = random.Random(20150618)  # noqa: S311 - the same texts every time
    understood = 0
    for _ in range(20_000):
        text = "".join(chance.choices(pieces, k=chance.randint(1, 9)))
        try:
            objective = parse(text)
        except ObjectiveError:
            continue
        else:
            understood += 1
            assert parse(objective.text).text == objective.text, text
    assert understood > 100, "the texts are not all nonsense"
