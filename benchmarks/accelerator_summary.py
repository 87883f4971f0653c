"""The results of `accelerator.py` as Markdown, and what is computed from them."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from alexnet_jax.data.ilsvrc2012 import TRAIN_IMAGES, VALIDATION_IMAGES

if TYPE_CHECKING:
    from accelerator import Results

EPOCHS = 90
Rows = dict[str, dict[str, Any]]


def write(results: "Results", left_out: list[str]) -> None:
    """Writes epochs.json and summary.md."""
    parts = results.all()
    epochs = epochs_of(parts.get("steps", {}), parts.get("pipeline", {}))
    if epochs:
        results.write("epochs", {"computed_from": COMPUTED, "rows": epochs})
        parts["epochs"] = epochs
    (results.folder / "summary.md").write_text(summary(parts, left_out))


# --- computed -------------------------------------------------------------------------

COMPUTED = (
    f"{EPOCHS} epochs of {TRAIN_IMAGES:,} images and {EPOCHS} evaluations of "
    f"{VALIDATION_IMAGES:,}, at the median rates of the steps; with a pipeline, at its "
    "rate where it is lower. Computed, not run."
)


def epochs_of(steps: Rows, pipeline: Rows) -> Rows:
    """Hours for 90 epochs of ImageNet: of the steps alone, and with each pipeline."""
    limits = pipeline_limits(pipeline)
    rows: Rows = {}
    for key, row in measured(steps):
        train, evaluation = (
            row[kind]["images_per_second"]["median"] for kind in ("train", "eval")
        )
        rows[key] = {"hours_of_steps": hours(train, evaluation)}
        for form, limit in limits.items():
            limited = hours(min(train, limit), min(evaluation, limit))
            rows[key][f"hours_with_{form}"] = limited
    return rows


def pipeline_limits(pipeline: Rows) -> dict[str, float]:
    """The best rate of the pipeline alone, images/s by stored form."""
    limits: dict[str, float] = {}
    for _, row in measured(pipeline):
        for form, result in row["forms"].items():
            if "pipeline_images_per_second" in result:
                rate = result["pipeline_images_per_second"]
                limits[form] = max(rate, limits.get(form, 0))
    return limits


def hours(train: float, evaluation: float) -> float:
    """Of 90 epochs, from images per second of training and evaluation."""
    seconds = TRAIN_IMAGES / train + VALIDATION_IMAGES / evaluation
    return EPOCHS * seconds / 3600


def measured(rows: Rows) -> Iterable[tuple[str, dict[str, Any]]]:
    """The rows with a result."""
    return (
        (key, row)
        for key, row in rows.items()
        if "error" not in row and "skipped" not in row
    )


# --- Markdown -------------------------------------------------------------------------


def summary(parts: dict[str, Rows], left_out: list[str]) -> str:
    lines = ["# One accelerator", "", *devices(parts), ""]
    for part, rows in parts.items():
        lines += [f"## {part}", "", *SECTIONS[part](rows, parts), ""]
        for key, row in rows.items():
            for why in ("error", "skipped"):
                if why in row:
                    lines += [f"{key}: {why}: {_line(row[why])}", ""]
    lines += [f"Left out for lack of time: {', '.join(left_out) or 'nothing'}.", ""]
    return "\n".join(lines)


def devices(parts: dict[str, Rows]) -> list[str]:
    """One line for each device that has results; one is as it should be."""
    rows = [row for rows in parts.values() for _, row in measured(rows)]
    told = [row["device"] for row in rows if "device" in row]
    lines = {
        f"{it['kind']}, driver {it['driver']}, {_line(it['platform'])}" for it in told
    }
    return sorted(lines)


def table(head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> list[str]:
    lines = [head, ("---",) * len(head), *rows]
    return [f"| {' | '.join(map(str, cells))} |" for cells in lines]


def of_steps(rows: Rows, parts: dict[str, Rows]) -> list[str]:
    head = ("precision, batch", "step", "images/s (quartiles)", "compiling, s")
    return table(
        (*head, "program, GB", "peak of device, GB"),
        (
            (
                key,
                kind,
                _spread(row[kind]["images_per_second"]),
                f"{row[kind]['compile_seconds']:.1f}",
                f"{row[kind]['program_bytes']['total'] / 1e9:.2f}",
                _gigabytes(row["device_peak_bytes"]),
            )
            for key, row in measured(rows)
            for kind in ("train", "eval")
        ),
    )


def of_torch(rows: Rows, parts: dict[str, Rows]) -> list[str]:
    lines = table(
        ("precision, batch", "network", "training, images/s", "evaluation, images/s"),
        (
            (key, name, _spread(kinds["train"]), _spread(kinds["eval"]))
            for key, row in measured(rows)
            for name, kinds in row["images_per_second"].items()
        ),
    )
    for key, row in measured(rows):
        told = (f"{k} {r:.2f}" for k, r in row["ours_over_best_torch"].items())
        lines += ["", f"{key}: ours / the fastest PyTorch: {', '.join(told) or '-'}"]
        failed = row["failed"].items()
        lines += [f"{name} failed: {_line(why)}" for name, why in failed]
    return lines


def of_roofline(rows: Rows, parts: dict[str, Rows]) -> list[str]:
    lines = []
    for key, row in measured(rows):
        products = row["peak_multiply_adds_per_second"] / 1e12
        copied = row["copy_bytes_per_second"] / 1e9
        lines += [
            f"{key}: peak {products:.4g} T multiply-adds/s, copy {copied:.4g} GB/s; "
            f"floor of the products {1e3 * row['floor_seconds']:.3f} ms"
            f"{_of_the_step(key, row, parts)}.",
            "",
        ]
        lines += table(
            ("layer", "floor, ms", "limited by", "alone, ms", "share"),
            (
                (
                    layer["layer"],
                    f"{1e3 * layer['floor_seconds']:.4f}",
                    layer["limited_by"],
                    f"{1e3 * layer['seconds_alone']:.4f}",
                    f"{layer['share']:.0%}",
                )
                for layer in row["layers"]
            ),
        )
        lines += [""]
    return lines


def _of_the_step(key: str, row: dict[str, Any], parts: dict[str, Rows]) -> str:
    """The floor's share of the training step that part `steps` measured."""
    step = dict(measured(parts.get("steps", {}))).get(key)
    if step is None:
        return ""
    batch = int(key.split()[-1])
    seconds = batch / step["train"]["images_per_second"]["median"]
    return f", {row['floor_seconds'] / seconds:.0%} of the step's {1e3 * seconds:.3f}"


def of_profile(rows: Rows, parts: dict[str, Rows]) -> list[str]:
    lines = []
    for key, row in measured(rows):
        lines += [
            f"{key}: {row['milliseconds_per_step']:.3f} ms per step under the "
            f"profiler; kernels run {row['busy_share']:.0%} of it.",
            "",
        ]
        for name in ("categories", "layers", "kernels"):
            lines += table((name, "ms", "share", "runs"), map(_kernel, row[name]))
            lines += [""]
    return lines


def _kernel(row: dict[str, Any]) -> tuple[str, ...]:
    share, name = f"{row['share']:.1%}", row["name"][:80].replace("|", "/")
    return name, f"{row['milliseconds']:.4f}", share, f"{row['runs']:.4g}"


def of_pipeline(rows: Rows, parts: dict[str, Rows]) -> list[str]:
    return table(
        ("precision, batch", "stored", "alone, images/s", "training, images/s", "wait"),
        (
            (
                key,
                form,
                f"{result['pipeline_images_per_second']:,.0f}",
                f"{result['training_images_per_second']:,.0f}",
                f"{result['data_wait_share']:.0%}",
            )
            for key, row in measured(rows)
            for form, result in row["forms"].items()
            if "data_wait_share" in result
        ),
    )


def of_epochs(rows: Rows, parts: dict[str, Rows]) -> list[str]:
    kinds = list(next(iter(rows.values())))
    head = ("precision, batch", *(kind.replace("_", " ") for kind in kinds))
    cells = ((key, *(f"{row[k]:.2f}" for k in kinds)) for key, row in rows.items())
    return [COMPUTED, "", *table(head, cells)]


SECTIONS: dict[str, Callable[[Rows, dict[str, Rows]], list[str]]] = {
    "steps": of_steps,
    "torch": of_torch,
    "roofline": of_roofline,
    "profile": of_profile,
    "pipeline": of_pipeline,
    "epochs": of_epochs,
}


def _spread(rate: dict[str, float]) -> str:
    low, high = rate["lower_quartile"], rate["upper_quartile"]
    return f"{rate['median']:,.0f} ({low:,.0f} to {high:,.0f})"


def _gigabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e9:.2f}"


def _line(words: str) -> str:
    return " ".join(words.split())
