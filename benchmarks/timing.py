"""Times of steps, and images per second computed from them."""

import time
from collections.abc import Callable

import numpy as np

_WARM_UP = 4  # steps at the start of each turn


def of_rounds(run: Callable[[int], None], rounds: int, count: int) -> list[float]:
    """Seconds per step in each round of `count` steps."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        run(count)
        times.append((time.perf_counter() - began) / count)
    return times


def of_turn(run: Callable[[int], None], count: int) -> float:
    """Seconds per step of a contender's turn, after some steps that are not timed.

    Memory freed during the turns of the others must be allocated again, which can
    double the time of each of the first steps.
    """
    run(_WARM_UP)
    (seconds,) = of_rounds(run, rounds=1, count=count)
    return seconds


def steps_lasting(run: Callable[[int], None], seconds: float) -> int:
    """The number of steps that take about `seconds`, at least one."""
    (taken,) = of_rounds(run, rounds=1, count=1)
    return max(1, round(seconds / taken))


def rate(seconds: list[float], images: int) -> dict[str, float]:
    """Images per second over rounds: median and quartiles.

    Args:
        seconds: per step, one for each round.
        images: per step.
    """
    quartiles = np.percentile(images / np.array(seconds), (25, 50, 75))
    names = ("lower_quartile", "median", "upper_quartile")
    return dict(zip(names, map(float, quartiles), strict=True))
