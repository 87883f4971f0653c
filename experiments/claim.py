"""A claim of the paper or its authors, the runs that it needs, and how it is judged."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from experiments import seeds
from experiments.records import Record


@dataclass(frozen=True, kw_only=True)
class Training:
    """A run that a claim needs."""

    claim: str
    """Of its record."""
    seed: int
    command: tuple[str, ...]
    """Module and options, without --record. "{workdir}" is a folder of its own."""
    epochs: int
    minutes: float
    """Estimate for two CPU cores, where no record tells."""
    like: str = ""
    """Claim of runs that take as long per epoch."""

    def cost(self, known: list[Record]) -> float:
        """Minutes: the median of known runs of the same claim, else of the like one."""
        for claim in (self.claim, self.like):
            found = [r for r in known if r["claim"] == claim and r["minutes"]]
            if found:
                return statistics.median(
                    self.epochs * r["minutes"] / r.get("epochs", 1) for r in found
                )
        return self.minutes


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim that runs support or not."""

    name: str
    text: str
    unit: str
    paper: str = ""
    """As printed; empty where the paper has no figure."""
    authors: str = ""
    """From the authors' logs or notes."""
    low: float
    """The mean of ours is asked to be above `low` and at most `high`."""
    high: float
    trainings: tuple[Training, ...]
    measure: Callable[[list[Record]], list[float]]
    """One number per seed, from all records."""
    importance: int
    """1 for the most telling."""

    def missing(self, known: list[Record]) -> list[Training]:
        done = {(record["claim"], record["seed"]) for record in known}
        return [t for t in self.trainings if (t.claim, t.seed) not in done]

    def asked(self) -> str:
        """The range in words."""
        if math.isinf(self.high):
            return f"above {self.low:g}"
        if math.isinf(self.low):
            return f"at most {self.high:g}"
        return f"{self.low:g} to {self.high:g}"

    def holds(self, mean: float) -> bool:
        return self.low < mean <= self.high

    def verdict(self, values: list[float]) -> str:
        """Whether the mean, as printed, is as asked; nothing without values. Where a
        sign is asked, the mean has to be beyond the standard deviation."""
        if not values:
            return ""
        mean, sd = round(seeds.mean(values), 2), seeds.deviation(values)
        if 0 in (self.low, self.high) and sd is not None and abs(mean) <= sd:
            return "within the spread"
        return "met" if self.holds(mean) else "not met"
