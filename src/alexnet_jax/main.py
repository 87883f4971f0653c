"""The command: python -m alexnet_jax.main --workdir runs/

Trains a preset, with any field of its configuration changed.
"""

import argparse
import contextlib
import dataclasses
import io
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from alexnet_jax import command
from alexnet_jax.config import Config
from alexnet_jax.presets import PRESETS, PresetName
from alexnet_jax.system.interruption import Interruption

# Slow imports come after the options are parsed.
if TYPE_CHECKING:
    from alexnet_jax.train import Outcome

DESCRIPTION = """\
Trains AlexNet as it was in 2012, with its two columns on two devices.

With --workdir alone it learns handwritten digits in a few minutes. The same command
resumes the run, or reports that it is complete. Ctrl-C saves first.

The defaults below are those of the preset; --preset NAME --help shows those of NAME."""

SHORTER = """\
conv2 to conv5 have the options of conv1, and fc7 and fc8 those of fc6; --help-all shows
them all.
"""


# Options of other programs, and what to use here.
INSTEAD = {
    "lr": "--optimizer.learning-rate",
    "wd": "--optimizer.weight-decay",
    "epochs": "--num-epochs",
    "max-epochs": "--num-epochs",
    "batch": "--batch-size",
    "bs": "--batch-size",
    "arch": "--preset",
    "config": "--preset",
    "model": "--preset",
    "dataset": "--data.name",
    "data": "--data.data-dir",
    "classes": "--model.fc8.features",
    "num-classes": "--model.fc8.features",
    "dropout": "--model.dropout-rate",
    "no-dropout": "--model.dropout-rate 0",
    "no-lrn": "--model.conv1.local-norm.position off, and likewise conv2",
    "dtype": "--model.precision",
    "amp": "--model.precision bfloat16",
    "bf16": "--model.precision bfloat16",
    "gpus": "--run.mesh.data",
    "devices": "--run.mesh.data",
    "workers": "--run.num-workers",
    "out": "--workdir",
    "output-dir": "--workdir",
    "logdir": "--workdir",
    "resume": "the same command again, which resumes",
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command."""

    workdir: Path
    """Directory of the run: checkpoints, metrics, statistics."""
    preset: PresetName = "digits"
    """The configuration that the other options change."""
    record: Path | None = None
    """Writes the record of the finished run to this file (.json), or to a file of this
    folder: command, commit, hardware, result and curve. A run that is complete writes
    it at once."""
    config: Annotated[Config, tyro.conf.arg(name="")]


def parse(arguments: list[str]) -> Options:
    """Parses the options; exits with a message and code 2 on a mistake.

    The preset is parsed first, since it gives the other options their defaults.
    """
    command.refuse_empty_values(arguments)
    command.refuse_other_names(arguments, INSTEAD)
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", default="digits")
    name = first.parse_known_args(arguments)[0].preset
    if name not in PRESETS:
        name = "digits"  # tyro reports the wrong name below
    default = Options(workdir=tyro.MISSING, preset=name, config=PRESETS[name])
    program = "python -m alexnet_jax.main"
    if "--help-all" in arguments or {"--help", "-h"} & set(arguments):
        text = _help(program, default)
        with command.reader_may_leave():
            print(text if "--help-all" in arguments else _without_repetition(text))
        sys.exit(0)
    return tyro.cli(Options, args=arguments, prog=program, default=default)


def _help(program: str, default: Options) -> str:
    """The whole help text, which tyro only prints."""
    text = io.TextIOWrapper(io.BytesIO(), encoding=sys.stdout.encoding)
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        tyro.cli(
            Options,
            args=["--help"],
            prog=program,
            description=DESCRIPTION,
            default=default,
        )
    text.seek(0)
    return text.read()


def _without_repetition(text: str) -> str:
    """Omits the boxes of layers that repeat the options of another layer."""
    repeated = r"╭─ model\.(conv[2-5]|fc[78])\b.*?╯\n?"
    return re.sub(repeated, "", text, flags=re.DOTALL).rstrip() + "\n" + SHORTER


def run(options: Options, interruption: Interruption) -> str:
    """Trains, and returns a summary of the outcome."""
    from alexnet_jax import train
    from alexnet_jax.data import class_folders
    from alexnet_jax.system import compilation_cache, distributed, peers
    from alexnet_jax.training import record

    settings = options.config.run
    compilation_cache.use(settings.compilation_cache)
    distributed.start(
        settings.mesh,
        settings.distributed,
        count=settings.num_processes,
        index=settings.process_index,
        timeout=settings.peer_timeout,
    )
    if options.config.data.folder is not None:
        config = class_folders.completed(options.config)
        options = dataclasses.replace(options, config=config)
    kept = options.record if peers.here().is_first else None
    if kept is not None:
        record.check_writable(kept)
    outcome = train.train_and_evaluate(options.config, options.workdir, interruption)
    if outcome.was_complete:
        head = f"the run is complete, {outcome.step} steps"
    else:
        head = f"trained for {outcome.step} steps"
    if kept is not None:
        record.write(kept, record.of_run(options.workdir))
    lines = [f"{options.workdir}: {head}."]
    if outcome.evaluation:
        lines.append(_result(outcome.evaluation, options.config))
    return "\n".join([*lines, *_next_commands(options, outcome)])


def _result(evaluation: dict[str, Any], config: Config) -> str:
    from alexnet_jax.system.progress import error_text

    return (
        f"{config.data.name} {config.data.eval_split}, {evaluation['examples']:,} "
        f"images, centre view: {error_text(evaluation)}"
    )


def _next_commands(options: Options, outcome: "Outcome") -> list[str]:
    """Commands to paste: look at the result, and train for longer."""
    workdir = shlex.quote(str(options.workdir))
    views = " --views 10" if options.config.augment.horizontal_flip else ""
    commands = [
        f"evaluate --workdir {workdir}{views}",
        f"visualize curves --workdir {workdir}",
        f"predict --workdir {workdir} photo.jpg",
    ]
    lines = ["Next:", *(f"  python -m alexnet_jax.{command}" for command in commands)]
    if outcome.was_complete:
        lines.append(_longer(options.config, outcome.epochs))
    return lines


def _longer(config: Config, epochs: float) -> str:
    """How to train for longer, and at which learning rate that would go on."""
    more = f"--num-epochs {2 * (round(epochs) or round(epochs, 2)):g}"
    match config.optimizer.schedule:
        case "cosine" | "levels":
            return (
                f"For longer training: {more} and another --workdir, since the "
                f"schedule ({config.optimizer.schedule}) depends on the length."
            )
        case "constant":
            return f"For more: {more}, at the same learning rate."
    return f"For more: {more}, which goes on at the learning rate of the last epoch."


def _train(options: Options) -> None:
    minutes = options.config.run.max_minutes
    with Interruption(minutes, owns_process=True) as interruption:
        print(run(options, interruption))


def main() -> int:
    """Returns the exit code; see `command`."""
    options = parse(sys.argv[1:])
    kept = "what has been saved is kept, and the same command resumes"
    return command.run(lambda: _train(options), stopped=kept)


if __name__ == "__main__":
    sys.exit(main())
