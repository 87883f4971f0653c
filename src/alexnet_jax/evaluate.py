"""The command: python -m alexnet_jax.evaluate --workdir runs/ --views 10

Errors of trained networks, alone and as an ensemble, on every image of a split.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from alexnet_jax import command, config_checks
from alexnet_jax.config import MeshConfig
from alexnet_jax.errors import UserError
from alexnet_jax.ranges import NonNegative, Positive, Threads
from alexnet_jax.system import peers

# Slow imports come after the options are parsed.
if TYPE_CHECKING:
    from alexnet_jax.evaluation.ensemble import Answers
    from alexnet_jax.evaluation.test_sets import EvaluationSet
    from alexnet_jax.inference.trained_model import Model
    from alexnet_jax.weights.network import Network

DESCRIPTION = """\
Loss and errors of trained networks on every image of a split, each counted once.

Several run directories form an ensemble: their probabilities are averaged, and each is
reported too. --dataset names another dataset in the tfds data directory; ImageNet-V2,
-ReaL, -A, -R, -Sketch and -C are evaluated by their own rules (imagenet2012_corrupted
alone means all of ImageNet-C)."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command."""

    workdir: tuple[Path, ...]
    """Run directories, weights files (.safetensors), digits or cifar10; one or more."""
    views: Literal[1, 10] = 1
    """1: centre; 10: corners, centre and their mirror images, as in the paper."""
    checkpoint: str = "newest"
    """Checkpoint: newest, best (lowest error in training), or a step."""
    damaged: Literal["stop", "skip"] = "stop"
    """On a damaged record: stop, or skip it and count it."""
    weights: tuple[NonNegative[float], ...] = ()
    """Weights of the members of an ensemble; equal by default."""
    dataset: str | None = None
    """tfds name of the dataset. None means that of the run."""
    split: str | None = None
    """Split of the dataset. None means the run's evaluation split, or the usual one of
    --dataset."""
    data_dir: str | None = None
    """The tfds data directory. None means that of the run."""
    batch_size: Positive[int] | None = None
    """Images at a time, on all devices together. None means that of the run."""
    predictions: Path | None = None
    """Writes probabilities, labels and file names to this file (.npz)."""
    submission: Path | None = None
    """Writes the ILSVRC format to this file: five devkit class numbers per line, best
    first."""
    per_class: Path | None = None
    """Writes a table of the errors of each class to this file (.csv)."""
    mesh: MeshConfig = MeshConfig()
    num_workers: Threads | None = None
    """Decoding threads. None means one per core."""
    distributed: str = "auto"
    """Several processes that share the work: auto, off, or HOST:PORT of process 0, with
    JAX_NUM_PROCESSES and JAX_PROCESS_ID; see docs/clusters.md."""


def run(options: Options) -> str:
    """Evaluates, writes the requested files, and returns a table."""
    config_checks.check_ranges(options)
    from alexnet_jax.evaluation import test_sets
    from alexnet_jax.inference import trained_model
    from alexnet_jax.training import saved_network

    with peers.here().together():
        weights = _weights(options)
        _check_writable(options)
    peers.here().refuse_differences(_common(options), "their options")
    members = [
        trained_model.load(
            path,
            checkpoint=saved_network.agreed(path, options.checkpoint),
            mesh=options.mesh,
        )
        for path in options.workdir
    ]
    ask = partial(_ask, options=options, members=members, weights=weights)
    if options.dataset == test_sets.CORRUPTED:
        return _corruptions(ask)
    data = members[0].network.config.data
    spec = test_sets.find(
        options.dataset or data.name,
        options.split or (None if options.dataset else data.eval_split),
    )
    if peers.here().is_first:
        for warning in _warnings(options, members, spec):
            print(f"note: {warning}", file=sys.stderr)
    answers = ask(spec)
    with peers.here().together():
        _write(options, answers)
    return _table(options, members, answers, spec)


def _common(options: Options) -> dict[str, Any]:
    """The options that all processes must share."""
    own = ("workdir", "data_dir", "num_workers", "distributed")
    common = {name: value for name, value in vars(options).items() if name not in own}
    return common | {"networks": len(options.workdir)}


def _check_writable(options: Options) -> None:
    from alexnet_jax.system import atomic_files

    for path in (options.predictions, options.submission, options.per_class):
        if path is not None and peers.here().is_first:
            atomic_files.check_writable(path)


def _write(options: Options, answers: "Answers") -> None:
    from alexnet_jax.evaluation import result_files

    if not peers.here().is_first:
        return
    if options.predictions is not None:
        result_files.write_predictions(options.predictions, answers)
    if options.submission is not None:
        result_files.write_submission(options.submission, answers)
    if options.per_class is not None:
        result_files.write_per_class(options.per_class, answers)


def _warnings(
    options: Options, members: "list[Model]", spec: "EvaluationSet"
) -> list[str]:
    """Warns of choices that make the errors higher or lower than they seem."""
    from alexnet_jax.inference import predictions

    warnings = []
    configs = [member.network.config for member in members]
    if not spec.is_crop and (text := predictions.views_warning(configs, options.views)):
        warnings.append(text)
    data = configs[0].data
    if options.checkpoint == "best":
        text = f"best has the lowest top-1 error on {data.name} {data.eval_split}"
        if (spec.dataset, spec.split) == (data.name, data.eval_split):
            text += ", the images of this evaluation: a fresh test set may show more"
        warnings.append(text)
    return warnings


def _weights(options: Options) -> tuple[float, ...]:
    if not options.workdir:
        raise UserError("--workdir: name one or more run directories or weights files.")
    weights = options.weights or (1.0,) * len(options.workdir)
    if len(weights) != len(options.workdir) or min(weights) < 0 or not sum(weights):
        raise UserError(
            f"--weights {' '.join(map(str, weights))}: give one for each of the "
            f"{len(options.workdir)} networks, none below 0 and not all 0."
        )
    return weights


def _ask(
    spec: "EvaluationSet",
    options: Options,
    members: "list[Model]",
    weights: tuple[float, ...],
) -> "Answers":
    from alexnet_jax.evaluation import ensemble, result_files

    with peers.here().together():
        opened = [
            ensemble.open_set(member.network, spec, options.data_dir, options.damaged)
            for member in members
        ]
        if options.submission is not None:
            result_files.devkit_ids(opened[0].class_names)
    peers.here().refuse_differences([source.fingerprint for source in opened], "data")
    return ensemble.ask(
        members,
        opened,
        spec,
        weights=weights,
        num_views=options.views,
        batch_size=options.batch_size,
        num_workers=options.num_workers,
    )


def _table(
    options: Options, members: "list[Model]", answers: "Answers", spec: "EvaluationSet"
) -> str:
    """The errors of each member and of the ensemble."""
    from alexnet_jax.evaluation import ensemble

    accepted = spec.accepted and ensemble.accepted_classes(answers, spec.accepted)
    rows = [
        (_title(member.network), predicted)
        for member, predicted in zip(members, answers.members, strict=True)
    ]
    if len(members) > 1:
        rows.append((f"ensemble of {len(members)}", answers.together))
    scores = [
        ensemble.mean_scores(predicted, answers, accepted or None)
        for _, predicted in rows
    ]
    width = max(len(name) for name, _ in rows)
    columns = [name for name in _COLUMNS if name == "loss" or name in scores[0]]
    views = "1 view" if spec.is_crop or options.views == 1 else "10 views"
    skipped = len(answers.source.skipped)
    head = (
        f"{answers.source.name} {answers.source.split}, "
        f"{scores[0]['examples']:,} images, {views}"
        + (f", {skipped} damaged ones left out" if skipped else "")
    )
    title = "  ".join([" " * width, *[f"{_COLUMNS[name]:>11}" for name in columns]])
    lines = [
        "  ".join([f"{name:{width}}", *[_cell(column, values) for column in columns]])
        for (name, _), values in zip(rows, scores, strict=True)
    ]
    return "\n".join([head, title, *lines])


_COLUMNS = {"loss": "loss", "top1_error": "top-1 error", "top5_error": "top-5 error"}


def _cell(column: str, scores: dict[str, float]) -> str:
    if column not in scores:
        return f"{'-':>11}"
    return f"{scores[column]:11.4f}" if column == "loss" else f"{scores[column]:11.2%}"


def _title(member: "Network") -> str:
    return member.name + ("" if member.step is None else f" step {member.step}")


def _corruptions(ask: "Callable[[EvaluationSet], Answers]") -> str:
    """A table of top-1 error by severity and CE for each corruption, and mCE."""
    from alexnet_jax.evaluation import ensemble, test_sets

    errors, lines = {}, []
    for key, dataset in test_sets.corrupted_datasets().items():
        answers = ask(test_sets.find(dataset, None))
        scores = ensemble.mean_scores(answers.together, answers, None)
        errors[key] = scores["top1_error"]
    ratios = test_sets.corruption_errors(errors)
    for name, ratio in ratios.items():
        severities = [
            f"{errors[name, severity]:7.2%}" if (name, severity) in errors else " " * 7
            for severity in test_sets.SEVERITIES
        ]
        lines.append(f"{name:18}  {'  '.join(severities)}  {ratio:7.2%}")
    title = f"{'top-1 error':18}  " + "  ".join(
        f"{severity:7}" for severity in test_sets.SEVERITIES
    )
    head = f"{test_sets.CORRUPTED}, {scores['examples']:,} images each, 1 view"
    return "\n".join([head, f"{title}       CE", *lines])


def main() -> int:
    """Returns the exit code; see `command`."""
    options = command.parse(Options, "alexnet_jax.evaluate", DESCRIPTION)
    return command.run(
        lambda: print(run(options)), mesh=options.mesh, processes=options.distributed
    )


if __name__ == "__main__":
    sys.exit(main())
