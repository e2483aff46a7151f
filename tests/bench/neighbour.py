"""Compares dreams with and without spinning threads: python tests/bench/neighbour.py

GNU's OpenMP, which PyTorch brings on Linux, lets threads that wait for each other spin. That is
fastest on an idle machine, and slow as soon as another program wants a processor. The command line
limits the spinning (GOMP_SPINCOUNT); this measures what that costs and gains, in seconds for one
dream at 512 px.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

DREAM = """
import time, torch, reverie
picture = torch.rand(1, 3, 320, 512, generator=torch.Generator().manual_seed(0))
reverie.dream(picture, reverie.Recipe(steps=1))
started = time.perf_counter()
reverie.dream(picture, reverie.Recipe())
print(time.perf_counter() - started)
"""
ROUNDS = 3


def main() -> None:
    """Time both ways, alone and beside a program that keeps one processor busy."""
    for where in ("alone", "beside a busy program"):
        times: dict[str, list[float]] = {"spinning": [], "limited": []}
        busy = None
        if where != "alone":
            busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            for _ in range(ROUNDS):
                times["spinning"].append(seconds({}))
                times["limited"].append(seconds({"GOMP_SPINCOUNT": "1000"}))
        finally:
            if busy is not None:
                busy.kill()
        spinning, limited = (statistics.median(each) for each in times.values())
        print(  # noqa: T201
            f"{where}: spinning {spinning:.2f} s, limited {limited:.2f} s, "
            f"spinning/limited {spinning / limited:.2f}"
        )


def seconds(extra: dict[str, str]) -> float:
    """How long one dream takes in a process of its own, after a warm-up."""
    environment = {**os.environ, **extra}
    done = subprocess.run(
        [sys.executable, "-c", DREAM], env=environment, check=True, capture_output=True, text=True
    )
    return float(done.stdout)


if __name__ == "__main__":
    main()
