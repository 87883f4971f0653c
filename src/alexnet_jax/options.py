"""The options of the main command: a preset, and any field of the configuration."""

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from alexnet_jax.config import Config
from alexnet_jax.presets import PRESETS, PresetName

DESCRIPTION = """\
Trains AlexNet as it was in 2012, its two columns on two devices.

With no option but --workdir it learns handwritten digits in a few minutes. The same
command again goes on where it was, or says that it is complete. Ctrl-C saves first.

The values below are those of the preset; --preset NAME --help shows those of NAME."""

SHORTER = """\
conv2 to conv5 have the options of conv1, and fc7 and fc8 those of fc6; --help-all shows
each with its value.
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says."""

    workdir: Path
    """Directory of the run: checkpoints, metrics, statistics."""
    preset: PresetName = "digits"
    """The configuration that the other options change."""
    config: Annotated[Config, tyro.conf.arg(name="")]


def parse(arguments: list[str]) -> Options:
    """Reads the options; exits with a message and code 2 where they are wrong.

    The preset is read first, since it gives the other options their defaults.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", default="digits")
    name = first.parse_known_args(arguments)[0].preset
    if name not in PRESETS:
        name = "digits"  # tyro refuses the wrong name below
    default = Options(workdir=tyro.MISSING, preset=name, config=PRESETS[name])
    program = "python -m alexnet_jax.main"
    if "--help-all" in arguments or {"--help", "-h"} & set(arguments):
        parser = tyro.extras.get_parser(
            Options, prog=program, description=DESCRIPTION, default=default
        )
        everything = parser.format_help()
        short = "--help-all" not in arguments
        print(_without_repetition(everything) if short else everything)
        sys.exit(0)
    return tyro.cli(Options, args=arguments, prog=program, default=default)


def _without_repetition(text: str) -> str:
    """Leaves out the boxes of layers that have the options of another layer."""
    repeated = r"╭─ model\.(conv[2-5]|fc[78])\b.*?╯\n?"
    return re.sub(repeated, "", text, flags=re.DOTALL).rstrip() + "\n" + SHORTER
