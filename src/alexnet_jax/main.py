"""The command: python -m alexnet_jax.main --workdir runs/

Trains a preset, with any field of its configuration changed. Slow imports come after
the options are parsed, so that --help answers at once.
"""

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from alexnet_jax import command
from alexnet_jax.config import Config
from alexnet_jax.presets import PRESETS, PresetName
from alexnet_jax.system.interruption import Interruption

DESCRIPTION = """\
Trains AlexNet as it was in 2012, with its two columns on two devices.

With --workdir alone it learns handwritten digits in a few minutes. The same command
resumes the run, or reports that it is complete. Ctrl-C saves first.

The defaults below are those of the preset; --preset NAME --help shows those of NAME."""

SHORTER = """\
conv2 to conv5 have the options of conv1, and fc7 and fc8 those of fc6; --help-all shows
them all.
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command."""

    workdir: Path
    """Directory of the run: checkpoints, metrics, statistics."""
    preset: PresetName = "digits"
    """The configuration that the other options change."""
    config: Annotated[Config, tyro.conf.arg(name="")]


def parse(arguments: list[str]) -> Options:
    """Parses the options; exits with a message and code 2 on a mistake.

    The preset is parsed first, since it gives the other options their defaults.
    """
    command.refuse_empty_values(arguments)
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", default="digits")
    name = first.parse_known_args(arguments)[0].preset
    if name not in PRESETS:
        name = "digits"  # tyro reports the wrong name below
    default = Options(workdir=tyro.MISSING, preset=name, config=PRESETS[name])
    program = "python -m alexnet_jax.main"
    if "--help-all" in arguments or {"--help", "-h"} & set(arguments):
        parser = tyro.extras.get_parser(
            Options, prog=program, description=DESCRIPTION, default=default
        )
        text = parser.format_help()
        short = "--help-all" not in arguments
        print(_without_repetition(text) if short else text)
        sys.exit(0)
    return tyro.cli(Options, args=arguments, prog=program, default=default)


def _without_repetition(text: str) -> str:
    """Omits the boxes of layers that repeat the options of another layer."""
    repeated = r"╭─ model\.(conv[2-5]|fc[78])\b.*?╯\n?"
    return re.sub(repeated, "", text, flags=re.DOTALL).rstrip() + "\n" + SHORTER


def run(options: Options, interruption: Interruption) -> str:
    """Trains, and returns a summary of the outcome."""
    from alexnet_jax import train
    from alexnet_jax.system import devices

    devices.request_cpu_devices(options.config.run.mesh)
    outcome = train.train_and_evaluate(options.config, options.workdir, interruption)
    head = f"{options.workdir}: "
    if outcome.was_complete:
        head += f"the run is complete, {outcome.step} steps. "
        epochs = round(outcome.epochs) or round(outcome.epochs, 2)
        remedy = f"\nFor more: --num-epochs {2 * epochs:g}"
    else:
        head += f"trained for {outcome.step} steps. "
        remedy = ""
    return head + _errors(outcome.evaluation, options.config) + remedy


def _errors(evaluation: dict[str, float], config: Config) -> str:
    if not evaluation:
        return ""
    return (
        f"{config.data.name} {config.data.eval_split}, centre view, "
        f"{evaluation['examples']:g} images: top-1 error "
        f"{evaluation['top1_error']:.2%}, top-5 error {evaluation['top5_error']:.2%}, "
        f"loss {evaluation['loss']:.4f}"
    )


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
