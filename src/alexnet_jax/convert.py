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
from alexnet_jax.errors import UserError

# Slow imports come after the options are parsed.
if TYPE_CHECKING:
    from alexnet_jax.weights.any_format import Form, Hints
    from alexnet_jax.weights.network import Network

DESCRIPTION = """\
Converts the weights of AlexNet from one format to another, exactly.

SOURCE is a run directory, or a file: .caffemodel (Caffe's AlexNet or CaffeNet), .npz
(Caffe's weights as arrays), .pth or .safetensors (torchvision's AlexNet), or our own
.safetensors or .npz. DEST ends in .safetensors or .npz (the whole network; predict,
features, evaluate and visualize read the former), or .pth (torchvision's state_dict);
or, for use elsewhere, in .onnx, .py (a PyTorch module, with --torch-module) or
.jaxexport (a program for CPUs, GPUs and TPUs). hf://OWNER/NAME is a repository of the
Hugging Face hub.

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
    data_licence: str | None = None
    """The licence of the training data as its owners give it, for the same."""
    torchvision: tyro.conf.FlagCreatePairsOff[bool] = False
    """Writes a .safetensors file with torchvision's names and layout."""
    torch_module: tyro.conf.FlagCreatePairsOff[bool] = False
    """Writes a PyTorch module, DEST.py, and its weights beside it."""
    with_input: tyro.conf.FlagCreatePairsOff[bool] = False
    """In .onnx and .jaxexport: takes uint8 images and preprocesses them itself."""


def run(options: Options) -> str:
    """Converts, and returns a description of the network."""
    from alexnet_jax.weights import any_format, hub, model_card, torch_module

    if hub.is_address(options.dest):
        return _push(options)
    write = any_format.writer(options.dest, _form(options))
    card = model_card.beside(options.dest)
    network = _network(options)
    write(options.dest, network)
    model_card.write(card, options.dest, network)
    size = options.dest.stat().st_size / 1e6
    weights = ""
    if options.torch_module:
        weights = f", its weights {torch_module.weights_beside(options.dest)}"
    return (
        f"{_describe(network)}\nwrote {options.dest}, {size:,.1f} MB{weights}, and its "
        f"model card {card}"
    )


def _push(options: Options) -> str:
    from alexnet_jax.weights import hub

    if _form(options) != "ours":
        raise UserError(f"{options.dest} holds our own format: omit its options.")
    hub.import_hub(options.dest)
    network = _network(options)
    return f"{_describe(network)}\nuploaded: {hub.push(network, options.dest)}"


def _network(options: Options) -> "Network":
    from alexnet_jax.weights import any_format

    hints = any_format.Hints(
        preset=options.preset,
        mean=options.mean,
        class_names=options.class_names,
        checkpoint=options.checkpoint,
    )
    network = _read(options.source, hints)
    given = {"remark": options.remark, "data_licence": options.data_licence}
    origin = network.origin | {name: text for name, text in given.items() if text}
    return dataclasses.replace(network, origin=origin)


def _form(options: Options) -> "Form":
    forms: dict[Form, bool] = {
        "torchvision": options.torchvision,
        "torch_module": options.torch_module,
        "with_input": options.with_input,
    }
    chosen: list[Form] = [form for form, is_chosen in forms.items() if is_chosen]
    if len(chosen) > 1:
        named = " and ".join(f"--{form.replace('_', '-')}" for form in chosen)
        raise UserError(f"{named} exclude each other: choose one.")
    return chosen[0] if chosen else "ours"


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
    data = dataclasses.replace(network.config.data, data_dir=None, folder=None)
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
