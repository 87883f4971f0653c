"""Values of several seeds: mean, standard deviation, changes, and all of it as text."""

import statistics
from collections.abc import Sequence


def mean(values: Sequence[float]) -> float:
    """Without the residue of binary fractions: the mean of 0.44 and 0.47 is 0.455, and
    that of -0.09 and 0.09 is 0."""
    return round(statistics.fmean(values), 6) + 0.0  # not -0


def deviation(values: Sequence[float]) -> float | None:
    """The standard deviation of the sample; None for one seed."""
    return round(statistics.stdev(values), 6) if len(values) > 1 else None


def changes(values: dict[int, float], base: dict[int, float]) -> list[float]:
    """The value of each seed minus the base's, for the seeds of both."""
    return [value - base[seed] for seed, value in values.items() if seed in base]


def spread(
    values: Sequence[float], *, sign: bool = False, extremes: bool = False
) -> str:
    """Mean ± standard deviation, and in brackets the lowest to the highest; of one
    value that value, of none nothing."""
    if not values:
        return ""
    number = "+.2f" if sign else ".2f"
    text, sd = f"{mean(values):{number}}", deviation(values)
    if sd is None:
        return text
    text += f" ± {sd:.2f}"
    if not extremes:
        return text
    return f"{text} ({min(values):{number}} to {max(values):{number}})"
