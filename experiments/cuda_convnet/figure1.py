"""Question: How much sooner does a net of rectified units reach 25 % training error?

Paper: section 3.1 and Figure 1: a four-layer net on CIFAR-10, no regularisation, the
rate of each activation chosen to learn as fast as it can; six times sooner than tanh.
The paper does not say which net. Here: 19pct of cuda-convnet, three convolutions and
one fully connected layer, on whole images, without weight decay, at a constant rate.
Fixed: net, data, order, initial values. Varies: the activation, and its rate on a grid
(the rate with the lowest training error after a few epochs is used for the long runs).
Cost: about 60 to 100 epochs of a small net, about 150 minutes on two CPU cores.
Command: python -m experiments.cuda_convnet.figure1
    --workdir runs/figure1 --out docs/results
"""

import shlex
import statistics
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from alexnet_jax import command, config_checks
from alexnet_jax.figures.drawing import new_figure
from alexnet_jax.ranges import Positive, Seed
from alexnet_jax.training import record
from experiments.cuda_convnet import curves
from experiments.cuda_convnet.curves import LIMIT, Curve, error_after, fastest, read
from experiments.cuda_convnet.images import Cifar10, load_cifar10
from experiments.cuda_convnet.nets import NetName
from experiments.cuda_convnet.settings import Settings
from experiments.cuda_convnet.train import train_and_evaluate

PAPER_RATIO = 6.0
FIGURE = "figure1.png"
_AT_RIGHT: dict[str, Any] = {
    "xycoords": ("axes fraction", "data"),
    "textcoords": "offset points",
    "ha": "right",
    "color": "gray",
    "fontsize": "small",
}
DESCRIPTION = """\
Repeats Figure 1 of the paper: epochs to 25 % training error on CIFAR-10, ReLU and tanh.

Trains a four-layer net with each activation at each rate of its grid for a few epochs,
then at the best rate until it reaches 25 %. Writes figure1.png and figure1.md."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the command."""

    workdir: Path
    """Holds a directory for each run; the same command resumes."""
    out: Path
    """Directory for the figure and the table."""
    net: NetName = "19pct"
    """The net of `experiments.cuda_convnet.train`."""
    relu_rates: tuple[Positive[float], ...] = (0.002, 0.004, 0.008, 0.016)
    tanh_rates: tuple[Positive[float], ...] = (0.004, 0.008, 0.016, 0.032)
    grid_epochs: Positive[int] = 3
    """Epochs after which the rate is chosen."""
    max_epochs: Positive[int] = 55
    """Epochs after which a run ends even if it has not reached 25 %."""
    seeds: tuple[Seed, ...] = (0,)
    data_dir: str | None = None
    """The tfds data directory with cifar10. None means tfds's default."""
    record: Path | None = None
    """Writes the record of the figure to this file (.json) or folder."""


def settings_of(
    net: NetName, activation: str, rate: float, seed: int, num_epochs: int
) -> Settings:
    """Settings without any regularisation, at a constant rate."""
    return Settings(
        net=net,
        activation=activation,  # type: ignore[arg-type]
        learning_rate=rate,
        weight_cost_scale=0.0,
        crop="none",
        constant_rate=True,
        num_epochs=num_epochs,
        until_train_error=LIMIT,
        seed=seed,
    )


def train(settings: Settings, workdir: Path, cifar10: Cifar10) -> Curve:
    """Starts or resumes a run; if it diverges, its curve has no errors."""
    directory = directory_of(settings, workdir)
    print(f"== {directory.name}, {settings.num_epochs} epochs", flush=True)
    try:
        train_and_evaluate(settings, directory, cifar10)
    except FloatingPointError as error:
        print(f"diverged: {error}")
        rate = settings.learning_rate or 0.0
        return Curve(settings.activation, rate, settings.seed, [], None)
    return read(directory, settings)


def directory_of(settings: Settings, workdir: Path) -> Path:
    rate = settings.learning_rate or 0.0
    name = f"{settings.net}-{settings.activation}-{rate:g}-seed{settings.seed}"
    return workdir / name


def run(options: Options, cifar10: Cifar10) -> str:
    """Trains the grid and the long runs, draws the figure and returns the table."""
    grid, long_runs = [], []
    for activation, rates in (
        ("relu", options.relu_rates),
        ("tanh", options.tanh_rates),
    ):
        tried = [
            train(
                settings_of(options.net, activation, rate, 0, options.grid_epochs),
                options.workdir,
                cifar10,
            )
            for rate in rates
        ]
        grid += tried
        rate = fastest(tried, options.grid_epochs).learning_rate
        for seed in options.seeds:
            settings = settings_of(options.net, activation, rate, seed, 0)
            settings = replace(settings, num_epochs=options.max_epochs)
            long_runs.append(train(settings, options.workdir, cifar10))
    options.out.mkdir(parents=True, exist_ok=True)
    _draw(long_runs, options.net).savefig(options.out / FIGURE, dpi=120)
    text = table(options, grid, long_runs)
    (options.out / "figure1.md").write_text(text)
    if options.record is not None:
        record.write(options.record, record_of(options, grid, long_runs))
    return text


def record_of(
    options: Options, grid: list[Curve], long_runs: list[Curve]
) -> dict[str, Any]:
    """Errors are fractions of the training images; null means diverged or not reached.

    "minutes" is that of all runs; those of the grid that go on count once.
    """
    runs = {
        directory_of(settings_of(options.net, *curve[:3], 0), options.workdir)
        for curve in grid + long_runs
    }
    minutes = [record.minutes(directory) for directory in runs]
    known = [value for value in minutes if value is not None]
    return {
        "claim": "figure1",
        "command": command_of(options),
        "dataset": "cifar10",
        "split": "train",
        "net": options.net,
        "seed": options.seeds[0],
        "seeds": list(options.seeds),
        "limit": LIMIT,
        "result": {"ratio": curves.ratio(long_runs)},
        "grid_epochs": options.grid_epochs,
        "grid": [
            curves.run_of(curve)
            | {"top1_error": error_after(curve, options.grid_epochs)}
            for curve in grid
        ],
        "runs": [
            curves.run_of(curve)
            | {"epochs": curve.reached, "curve": record.thinned(curves.points(curve))}
            for curve in long_runs
        ],
        "minutes": round(sum(known), 1) if len(known) == len(minutes) else None,
        **record.place(min(runs)),
    }


def command_of(options: Options) -> str:
    """The command, but for its directories."""
    words = ["python", "-m", "experiments.cuda_convnet.figure1"]
    for field in fields(options):
        value = getattr(options, field.name)
        is_place = field.name in ("workdir", "out", "data_dir", "record")
        if not is_place and value != field.default:
            words += record.option(field.name, value)
    return shlex.join(words)


def table(options: Options, grid: list[Curve], long_runs: list[Curve]) -> str:
    """The grid, the long runs, and the ratio of their epochs to 25 %."""
    lines = [
        f"# Figure 1: {options.net}, epochs to 25 % training error\n",
        f"| activation | rate | after {options.grid_epochs} epochs |",
        "|---|---|---|",
    ]
    for curve in grid:
        error = error_after(curve, options.grid_epochs)
        shown = f"{error:.2%}" if curve.errors else "diverged"
        lines.append(f"| {curve.activation} | {curve.learning_rate:g} | {shown} |")
    lines += ["", "| activation | rate | seed | epochs to 25 % |", "|---|---|---|---|"]
    for curve in long_runs:
        lines.append(
            f"| {curve.activation} | {curve.learning_rate:g} | {curve.seed} | "
            f"{_epochs(curve)} |"
        )
    return "\n".join([*lines, "", _ratio(long_runs), "", f"![Figure 1]({FIGURE})", ""])


def _epochs(curve: Curve) -> str:
    if curve.reached is not None:
        return f"{curve.reached:.2f}"
    if not curve.errors:
        return "diverged"
    return f"not within {len(curve.errors)}: {curve.errors[-1]:.2%}"


def _ratio(long_runs: list[Curve]) -> str:
    relu = curves.times(long_runs)["relu"]
    if not relu or None in relu:
        return "ratio: -"
    found = curves.ratio(long_runs)
    if found is not None:
        shown = f"{found:.1f}"
    else:
        least = min(len(c.errors) for c in long_runs if c.activation == "tanh")
        shown = f"above {least / statistics.mean(relu):.1f}"
    return f"ratio tanh / ReLU: {shown} (paper: {PAPER_RATIO:g}), n = {len(relu)}"


def _draw(long_runs: list[Curve], net: str) -> Any:
    """Draws in the paper's style: ReLU solid, tanh dashed, and a line at the limit."""
    figure = new_figure(5, 4)
    axes = figure.add_subplot()
    styles = {"relu": ("-", "ReLU"), "tanh": ("--", "tanh")}
    for curve in long_runs:
        style, label = styles[curve.activation]
        is_first = curve.seed == long_runs[0].seed
        axes.plot(
            range(1, len(curve.errors) + 1),
            curve.errors,
            style,
            color="black",
            label=f"{label}, rate {curve.learning_rate:g}" if is_first else None,
        )
    axes.axhline(LIMIT, color="gray", linewidth=0.8)
    label = f"{LIMIT:.0%} training error"
    axes.annotate(label, (1, LIMIT), (-3, -12), **_AT_RIGHT)  # the curves end above
    axes.set(xlabel="Epochs", ylabel="Training error rate", ylim=(0, 0.75))
    axes.set_xlim(left=0)
    axes.set_title(f"CIFAR-10, {net}, no regularisation", fontsize="medium")
    axes.legend()
    return figure


def _run(options: Options) -> None:
    config_checks.check_ranges(options)
    if options.record is not None:
        record.check_writable(options.record)
    print(run(options, load_cifar10(options.data_dir)))


def main() -> int:
    """Returns the exit code; see `command`."""
    options = command.parse(Options, "experiments.cuda_convnet.figure1", DESCRIPTION)
    kept = "saved states are kept, and the same command resumes"
    return command.run(lambda: _run(options), stopped=kept)


if __name__ == "__main__":
    sys.exit(main())
