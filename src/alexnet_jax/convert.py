"""The command: python -m alexnet_jax.convert net.caffemodel net.safetensors

Converts the weights of AlexNet from one format to another.
"""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from alexnet_jax import command, trained
from alexnet_jax.config import MeshConfig, RunConfig

# Slow imports come after the options are parsed.
if TYPE_CHECKING:
    from alexnet_jax.weights.any_format import Hints
    from alexnet_jax.weights.network import Network

DESCRIPTION = """\
Converts the weights of AlexNet from one format to another, exactly.

SOURCE is a run directory, or a file: .caffemodel (Caffe's AlexNet or CaffeNet), .npz
(Caffe's weights as arrays), .pth or .safetensors (torchvision's AlexNet), or our own
.safetensors or .npz. DEST ends in .safetensors or .npz (the whole network; predict,
features, evaluate and visualize read the former), or .pth (torchvision's state_dict).

Converts channel order, layouts and the order of fc6's inputs. Arrays that do not fit
the network are named with both shapes. Pickles are never loaded. A model card is
written beside DEST."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """File or run directory to read."""
    dest: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DEST")]
    """File to write."""
    preset: Literal["caffe_alexnet", "caffenet"] | None = None
    """Which of Caffe's two networks; needed if the file does not tell."""
    mean: Path | None = None
    """Caffe's mean image, .binaryproto or .npy. None means its mean per channel."""
    class_names: Path | None = None
    """Text file with one class name per line. None means the synsets of ImageNet, if
    there are 1000 classes without names."""
    checkpoint: str = "newest"
    """Of a run directory: newest, best (lowest error in training), or a step."""
    remark: str | None = None
    """A sentence for the model card and the file, on the data for example."""
    torchvision: tyro.conf.FlagCreatePairsOff[bool] = False
    """Writes a .safetensors file with torchvision's names and layout."""


def run(options: Options) -> str:
    """Converts, and returns a description of the network."""
    from alexnet_jax.weights import any_format, model_card

    write = any_format.writer(options.dest, as_torchvision=options.torchvision)
    card = model_card.beside(options.dest)
    hints = any_format.Hints(
        preset=options.preset,
        mean=options.mean,
        class_names=options.class_names,
        checkpoint=options.checkpoint,
    )
    network = _read(options.source, hints)
    if options.remark:
        origin = network.origin | {"remark": options.remark}
        network = dataclasses.replace(network, origin=origin)
    write(options.dest, network)
    model_card.write(card, options.dest, network)
    size = options.dest.stat().st_size / 1e6
    return (
        f"{_describe(network)}\nwrote {options.dest}, {size:,.1f} MB, and its model "
        f"card {card}"
    )


def _read(source: Path, hints: "Hints") -> "Network":
    from alexnet_jax.inference import trained_model
    from alexnet_jax.training import record
    from alexnet_jax.weights import any_format

    source = trained.locate(source)
    if not source.is_dir():
        return any_format.read(source, hints)
    mesh = MeshConfig(data=1, column=1)
    model = trained_model.load(source, checkpoint=hints.checkpoint, mesh=mesh)
    network = model.network.on_host()
    # The file is for others: where this machine keeps its data does not matter.
    data = dataclasses.replace(network.config.data, data_dir=None)
    config = dataclasses.replace(network.config, data=data, run=RunConfig())
    network = dataclasses.replace(
        network, config=config, origin=record.provenance(source, network.step)
    )
    return any_format.completed(network, source, hints)


def _describe(network: "Network") -> str:
    from alexnet_jax.weights.network import describe_input

    lines = [f"{network.num_parameters:,} parameters, {network.describe_output()}"]
    lines += [f"{name}: {value}" for name, value in network.origin.items()]
    return "\n  ".join([*lines, f"input: {describe_input(network)}"])


def main() -> int:
    """Returns the exit code; see `command`."""
    options = command.parse(Options, "alexnet_jax.convert", DESCRIPTION)
    return command.run(lambda: print(run(options)))


if __name__ == "__main__":
    sys.exit(main())
