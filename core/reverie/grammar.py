"""The text form of objectives: a whitelist grammar, read by recursive descent and never evaluated.

    sum    = ["-"] term {("+" | "-") term}
    term   = {number "*"} factor {("*" | "/") number}
    factor = call | layer | "(" sum ")"
    call   = name "(" [argument {"," argument}] ")"
    argument = [name "="] (number | text | word)

A word alone is a layer, so `eyes + 0.5*creatures` works; quotes around layer names may be left out.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reverie.errors import ObjectiveError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reverie.objectives import Objective
    from reverie.types import ObjectiveFactory

MAX_LENGTH = 1000
"""Longest text read, in characters; recipes come from strangers, and sums nest on the stack."""
MAX_DEPTH = 20
"""Most parentheses inside each other."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)(?![\w.])
        |(?P<text>"[^"]*"|'[^']*')
        |(?P<word>[A-Za-z_][\w.]*)
        |(?P<symbol>[-+*/(),=]))""",
    re.VERBOSE,
)


def parse_objective(text: str, factories: Mapping[str, ObjectiveFactory[Any]]) -> Objective:
    """Read an objective from its text.

    Args:
        text: such as `layer(eyes) + 0.5*channel("fur", 7)`.
        factories: the calls that are allowed, by name.
    Raises:
        ObjectiveError: the text breaks the grammar, is too long or too deep, or names no factory.
    """
    if len(text) > MAX_LENGTH:
        raise ObjectiveError(
            f"objective: the text has {len(text)} characters; up to {MAX_LENGTH} are read."
        )
    return _Parser(_tokens(text), text, factories).whole()


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, position = [], 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise ObjectiveError(
                f"objective: {text!r} is not understood at {text[position:].strip()[:20]!r}; "
                "write layers, calls such as channel(eyes, 3), numbers, + - * / and parentheses."
            )
        kind, word = match.lastgroup, match[match.lastgroup]
        tokens.append((kind, word[1:-1] if kind == "text" else word))
        position = match.end()
    return [*tokens, ("end", "the end")]


@dataclass
class _Parser:
    tokens: list[tuple[str, str]]
    text: str
    factories: Mapping[str, ObjectiveFactory[Any]]
    depth: int = 0

    def whole(self) -> Objective:
        result = self.sum()
        if self.tokens[0][0] != "end":
            raise self.unexpected("+, -, * or / and another term")
        return result

    def sum(self) -> Objective:
        result = -self.term() if self.accept("-") else self.term()
        while symbol := self.accept("+") or self.accept("-"):
            result = result + self.term() if symbol == "+" else result - self.term()
        return result

    def term(self) -> Objective:
        weights = []
        while (number := self.accept_number()) is not None:
            self.expect("*")
            weights.append(number)
        result = self.factor()
        while symbol := self.accept("*") or self.accept("/"):
            if (number := self.accept_number()) is None:
                raise self.unexpected(f"a number after {symbol}")
            result = result * number if symbol == "*" else result / number
        for weight in reversed(weights):
            result = weight * result
        return result

    def factor(self) -> Objective:
        if self.accept("("):
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise ObjectiveError(
                    f"objective: more than {MAX_DEPTH} parentheses inside each other."
                )
            result = self.sum()
            self.expect(")")
            self.depth -= 1
            return result
        kind, word = self.tokens[0]
        if kind not in {"word", "text"}:
            raise self.unexpected("a layer, a call or (")
        self.tokens.pop(0)
        if kind == "word" and self.accept("("):
            return self.call(word)
        return self.factories["layer"](word)

    def call(self, name: str) -> Objective:
        if name not in self.factories:
            raise ObjectiveError(unknown_name("objective", name, self.factories))
        positional: list[Any] = []
        named: dict[str, Any] = {}
        while not self.accept(")"):
            if positional or named:
                self.expect(",")
            if self.tokens[0][0] == "word" and self.tokens[1] == ("symbol", "="):
                key = self.tokens.pop(0)[1]
                if key in named:
                    raise ObjectiveError(f"objective: {name}(...) has {key} twice.")
                self.expect("=")
                named[key] = self.argument()
            else:
                positional.append(self.argument())
        try:
            return self.factories[name](*positional, **named)
        except TypeError as error:
            raise ObjectiveError(f"objective: {name}(...) does not fit: {error}.") from None

    def argument(self) -> float | str:
        sign = -1 if self.accept("-") else 1
        if (number := self.accept_number()) is not None:
            return sign * number
        kind, word = self.tokens[0]
        if kind not in {"word", "text"} or sign < 0:
            raise self.unexpected("a number or a name")
        self.tokens.pop(0)
        return word

    def accept(self, symbol: str) -> str | None:
        if self.tokens[0] == ("symbol", symbol):
            return self.tokens.pop(0)[1]
        return None

    def expect(self, symbol: str) -> None:
        if not self.accept(symbol):
            raise self.unexpected(repr(symbol))

    def accept_number(self) -> float | None:
        if self.tokens[0][0] != "number":
            return None
        text = self.tokens.pop(0)[1]
        number = float(text)
        if not math.isfinite(number):
            raise ObjectiveError(f"objective: the number {text[:20]} is too large.")
        return int(text) if text.isdigit() else number

    def unexpected(self, wanted: str) -> ObjectiveError:
        found = self.tokens[0][1]
        return ObjectiveError(f"objective: {self.text!r} has {found!r} where {wanted} should be.")
