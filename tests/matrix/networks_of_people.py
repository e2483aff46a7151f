"""Networks as people have them: each with one thing that a straight classifier does not have."""

from __future__ import annotations

from tests.matrix import code_of_people, layers_of_people
from tests.matrix.code_of_people import REFUSED
from tests.matrix.trunk import WORDS

PEOPLE = {**layers_of_people.OFFERS, **code_of_people.OFFERS}

__all__ = ["PEOPLE", "REFUSED", "WORDS"]
