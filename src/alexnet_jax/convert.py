"""The command: python -m alexnet_jax.convert net.caffemodel net.safetensors

Weights of AlexNet from one format into another.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from alexnet_jax.errors import UserError

# What is slow to import comes after the options have been read.
if TYPE_CHECKING:
    from alexnet_jax.weights.network_file import Weights

DESCRIPTION = """\
Converts the weights of AlexNet from one format into another, exactly.

SOURCE is a run directory, or a file: .caffemodel (Caffe's AlexNet or CaffeNet), .npz
(Caffe's weights as arrays), .pth or .safetensors (torchvision's AlexNet), .safetensors
or .npz of ours. DEST ends in .safetensors or .npz (all of the network; predict,
features, evaluate and visualize take the former), or .pth (torchvision's state_dict).

Channel order, layouts and the order of fc6's inputs are taken care of. What does not
fit the network is named with both shapes. No pickle is ever loaded."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """File or run directory to read."""
    dest: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DEST")]
    """File to write."""
    preset: Literal["caffe_alexnet", "caffenet"] | None = None
    """Which of Caffe's two networks; needed where the file does not say."""
    mean: Path | None = None
    """Caffe's mean image, .binaryproto or .npy; none: the mean of each channel."""
    class_names: Path | None = None
    """Text with the name of a class in each line; none: the synsets of ImageNet, for a
    thousand classes without names."""
    checkpoint: str = "newest"
    """Of a run directory: newest, best (of the evaluations in training), or a step."""
    torchvision: tyro.conf.FlagCreatePairsOff[bool] = False
    """Gives a .safetensors file the names and the layout of torchvision's."""


def run(chosen: Options) -> str:
    """Converts, and returns what there is to say of it."""
    from alexnet_jax.weights import any_format, exporting

    write = exporting.writer(chosen.dest, as_torchvision=chosen.torchvision)
    hints = any_format.Hints(
        preset=chosen.preset,
        mean=chosen.mean,
        class_names=chosen.class_names,
        checkpoint=chosen.checkpoint,
    )
    found = any_format.read(chosen.source, hints)
    write(chosen.dest, found)
    size = chosen.dest.stat().st_size / 1e6
    return f"{_described(found)}\nwrote {chosen.dest}, {size:,.1f} MB"


def _described(found: "Weights") -> str:
    from alexnet_jax.weights import network_file

    count = sum(
        array.size for kinds in found.params.values() for array in kinds.values()
    )
    classes = found.config.model.num_classes
    lines = [f"{count:,} parameters, {classes:,} classes"]
    lines += [f"{name}: {value}" for name, value in found.origin.items()]
    return "\n  ".join([*lines, f"input: {network_file.describe_input(found)}"])


def main() -> int:
    """Returns the exit code: 0 done, 1 the disk failed, 2 a mistake."""
    chosen = tyro.cli(
        Options, prog="python -m alexnet_jax.convert", description=DESCRIPTION
    )
    try:
        print(run(chosen))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
