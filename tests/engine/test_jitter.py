from __future__ import annotations

import torch

from reverie.engine.jitter import Jitter, roll, unroll


def test_jitter_is_undone_exactly(picture: torch.Tensor) -> None:
    assert torch.equal(unroll(roll(picture, (13, -40)), (13, -40)), picture)


def test_shifts_come_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = [Jitter(32, seed=7).shift() for _ in range(3)]
    torch.manual_seed(2)
    again = [Jitter(32, seed=7).shift() for _ in range(3)]
    jitter, other = Jitter(32, seed=7), Jitter(32, seed=8)
    assert first == again
    assert [jitter.shift() for _ in range(9)] != [other.shift() for _ in range(9)]


def test_shifts_reach_both_limits_and_no_further() -> None:
    jitter = Jitter(2, seed=0)
    seen = {part for _ in range(200) for part in jitter.shift()}
    assert seen == {-2, -1, 0, 1, 2}


def test_no_jitter_is_no_shift() -> None:
    assert Jitter(0, seed=3).shift() == (0, 0)


def test_the_callers_random_state_is_untouched() -> None:
    before = torch.get_rng_state()
    Jitter(32, seed=7).shift()
    assert torch.equal(before, torch.get_rng_state())


def test_the_largest_seed_works() -> None:
    assert Jitter(32, seed=2**64 - 1).shift() == Jitter(32, seed=2**64 - 1).shift()
