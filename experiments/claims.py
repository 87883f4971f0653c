"""The claims of the paper and of the authors' programs that runs can support.

Each names its runs, what is measured in their records, and the range that is asked.
"""

import math
from collections.abc import Callable

from experiments import fine_tuning, records, seeds
from experiments.claim import Claim, Training
from experiments.records import Record

EPOCHS = 15
"""Of the changes of the network on cifar10."""
_WORKDIR = ("--workdir", "{workdir}")


def top1_error(claim: str, views: str = "1") -> Callable[[list[Record]], list[float]]:
    """Top-1 error in percent of the runs of a claim."""

    def measure(known: list[Record]) -> list[float]:
        return list(records.errors(records.of_claim(known, claim), views).values())

    return measure


def change(claim: str, base: str) -> Callable[[list[Record]], list[float]]:
    """Top-1 error minus that of the base with the same seed, in points."""

    def measure(known: list[Record]) -> list[float]:
        runs, of_base = (records.of_claim(known, name) for name in (claim, base))
        return seeds.changes(records.errors(runs), records.errors(of_base))

    return measure


def _digits(precision: str, importance: int) -> Claim:
    """The same range is asked of each precision."""
    changes = () if precision == "float32" else ("--model.precision", precision)
    claim = " ".join(("digits", *changes))
    name = "digits" if not changes else f"digits in {precision}"
    return Claim(
        name=name,
        text=f"the eight layers learn handwritten digits in {precision}: test error",
        unit="%",
        low=-math.inf,
        high=2,
        trainings=tuple(
            Training(
                claim=claim,
                seed=seed,
                command=(
                    *("alexnet_jax.main", "--preset", "digits", *changes),
                    *("--seed", str(seed), *_WORKDIR),
                ),
                epochs=40,
                minutes=6,
                like="digits",
            )
            for seed in range(5)
        ),
        measure=top1_error(claim),
        importance=importance,
    )


def _views() -> Claim:
    """Of the network that comes with the package, which was trained with mirrors."""
    return Claim(
        name="views",
        text="ten views against the centre view on CIFAR-10: gain",
        unit="points",
        paper="1.5",
        low=0,
        high=math.inf,
        trainings=(
            Training(
                claim="views on cifar10",
                seed=0,
                command=("experiments.views", "--network", "cifar10"),
                epochs=30,
                minutes=8,
            ),
        ),
        measure=_gains,
        importance=2,
    )


def _gains(known: list[Record]) -> list[float]:
    one, ten = (top1_error("views on cifar10", views)(known) for views in ("1", "10"))
    return [before - after for before, after in zip(one, ten, strict=True)]


def _fine_tuning() -> Claim:
    return Claim(
        name="fine-tuning",
        text="digits after one epoch, from the network of CIFAR-10 against initial "
        "values: change of the test error",
        unit="points",
        low=-math.inf,
        high=0,
        trainings=tuple(
            Training(
                claim=fine_tuning.CLAIM,
                seed=seed,
                command=("experiments.fine_tuning", "--seed", str(seed), *_WORKDIR),
                epochs=5,
                minutes=1.5,
            )
            for seed in range(5)
        ),
        measure=fine_tuning.changes,
        importance=2,
    )


def _figure1() -> Claim:
    return Claim(
        name="figure1",
        text="Figure 1: epochs to 25 % training error, tanh over ReLU",
        unit="ratio",
        paper="6",
        low=1,
        high=math.inf,
        trainings=(
            Training(
                claim="figure1",
                seed=0,
                command=(
                    "experiments.cuda_convnet.figure1",
                    "--out",
                    *_WORKDIR[1:],
                    *_WORKDIR,
                ),
                epochs=1,
                minutes=150,
            ),
        ),
        measure=_ratios,
        importance=2,
    )


def _ratios(known: list[Record]) -> list[float]:
    found = [r["result"]["ratio"] for r in records.of_claim(known, "figure1")]
    return [ratio for ratio in found if ratio is not None]


def _net(name: str, error: float, spread: float, epochs: int, seeds: int) -> Claim:
    """A net of cuda-convnet, by the recipe of its authors."""
    return Claim(
        name=name,
        text=f"cuda-convnet's {name} on CIFAR-10: test error, centre view",
        unit="%",
        authors=f"{error:g}",
        low=error - spread,
        high=error + spread,
        trainings=tuple(
            Training(
                claim=name,
                seed=seed,
                command=(
                    *("experiments.cuda_convnet.train", "--net", name),
                    *("--seed", str(seed), *_WORKDIR),
                ),
                epochs=epochs,
                minutes=0.75 * epochs,
            )
            for seed in range(seeds)
        ),
        measure=top1_error(name),
        importance=2,
    )


def _toggle(text: str, variant: str, paper: str, authors: str) -> Claim:
    """A change of the network: the sign of the change of the error is asked."""
    claim, base = _on_cifar10(variant), _on_cifar10("base")
    return Claim(
        name=variant,
        text=f"{text}: change of the test error on CIFAR-10, {EPOCHS} epochs",
        unit="points",
        paper=paper,
        authors=authors,
        low=0,
        high=math.inf,
        trainings=tuple(
            _training(run, seed) for seed in range(2) for run in ("base", variant)
        ),
        measure=change(claim, base),
        importance=3,
    )


def _on_cifar10(run: str) -> str:
    return f"{run} on cifar10, {EPOCHS} epochs"


def _training(run: str, seed: int) -> Training:
    """A run of `experiments.run`; the base is named for one of its variants."""
    variant = "pooling/overlapping" if run == "base" else run
    return Training(
        claim=_on_cifar10(run),
        seed=seed,
        command=(
            *("experiments.run", "--preset", "cifar10", "--num-epochs", str(EPOCHS)),
            *("--experiment", variant.split("/")[0], "--only", f"{variant}/{seed}"),
            *("--seeds", str(seed), *_WORKDIR),
        ),
        epochs=EPOCHS,
        minutes=3 * EPOCHS,
        like=_on_cifar10("base") if run != "base" else "cifar10",
    )


CLAIMS = (
    _digits("float32", importance=1),
    _digits("bfloat16", importance=2),
    _views(),
    _fine_tuning(),
    _figure1(),
    _net("80sec", 26, 1.5, epochs=10, seeds=3),
    _net("19pct", 19, 1, epochs=140, seeds=1),
    _net("18pct", 18, 1, epochs=140, seeds=1),
    _toggle("without response normalisation", "response_norm/none", "+1.4", "+1.37"),
    _toggle("pooling without overlap", "pooling/apart", "+0.4", "+0.39"),
    _toggle("without dropout", "dropout/none", "", ""),
    _toggle("one column", "columns/one_column", "+1.7", "+1.70"),
)
