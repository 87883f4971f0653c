"""The command: python -m alexnet_jax.convert net.caffemodel net.safetensors

Weights of AlexNet from one format into another.
"""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from alexnet_jax import command
from alexnet_jax.config import MeshConfig

# What is slow to import comes after the options have been read.
if TYPE_CHECKING:
    from alexnet_jax.weights.any_format import Hints
    from alexnet_jax.weights.network import Network

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
    """The options of the command."""

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


def run(options: Options) -> str:
    """Converts, and returns what there is to say of it."""
    from alexnet_jax.weights import any_format

    write = any_format.writer(options.dest, as_torchvision=options.torchvision)
    hints = any_format.Hints(
        preset=options.preset,
        mean=options.mean,
        class_names=options.class_names,
        checkpoint=options.checkpoint,
    )
    found = _read(options.source, hints)
    write(options.dest, found)
    size = options.dest.stat().st_size / 1e6
    return f"{_described(found)}\nwrote {options.dest}, {size:,.1f} MB"


def _read(source: Path, hints: "Hints") -> "Network":
    from alexnet_jax.inference import trained_model
    from alexnet_jax.weights import any_format

    if not source.is_dir():
        return any_format.read(source, hints)
    mesh = MeshConfig(data=1, column=1)
    model = trained_model.load(source, checkpoint=hints.checkpoint, mesh=mesh)
    network = dataclasses.replace(
        model.network.on_host(), origin={"format": "run directory of alexnet_jax"}
    )
    return any_format.completed(network, source, hints)


def _described(network: "Network") -> str:
    from alexnet_jax.weights.network import describe_input

    count = sum(
        array.size for kinds in network.params.values() for array in kinds.values()
    )
    classes = network.config.model.num_classes
    lines = [f"{count:,} parameters, {classes:,} classes"]
    lines += [f"{name}: {value}" for name, value in network.origin.items()]
    return "\n  ".join([*lines, f"input: {describe_input(network)}"])


def main() -> int:
    """Returns the exit code; see `command`."""
    options = command.parse(Options, "alexnet_jax.convert", DESCRIPTION)
    return command.run(lambda: print(run(options)))


if __name__ == "__main__":
    sys.exit(main())
