"""Starts a run from the parameters of another network: `--init-from`.

Layers are taken over by name. The last one is new where the classes are others, in
number or in name, and so are the last layers that a cut-off network lacks. Everything
else must fit. The mean image and the colour shift are of the run's own training set.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from alexnet_jax import config_json, trained
from alexnet_jax.config import CONV_LAYERS, DENSE_LAYERS, Config
from alexnet_jax.errors import UserError
from alexnet_jax.system import peers
from alexnet_jax.training import checkpoint_files, record, saved_network
from alexnet_jax.weights import hub, network_file, parameter_shapes
from alexnet_jax.weights.network import Network

Provenance = dict[str, Any]
"""JSON: "file", "sha256", "step", "origin"; "new_layers" with the reasons; "differs",
what else is not as there."""

# Besides the shapes, what the parameters expect of the input.
_INPUT = "augment.pixel_scale"
# Of the network: how it is initialised and computed, not what it is.
_NOT_OF_IT = ("kernel_std", "bias", "precision", "fc8.features")


def check(config: Config, directory: Path) -> None:
    """Raises UserError if a run that begins cannot start from `--init-from`; one that
    resumes needs no file."""
    if config.init_from and not checkpoint_files.steps(directory / "checkpoints"):
        with _named(config.init_from):
            _refuse_misfit(config, trained.locate(config.init_from))


def taken_over(
    config: Config, params: Any, class_names: list[str] | None, mesh: Mesh
) -> tuple[Any, Provenance]:
    """The parameters with those of `--init-from` in place of all that are not new.

    Every process reads the file, and each device receives its part.

    Args:
        params: initial parameters of the run, on the mesh.
        class_names: of the run's dataset; None if it has none.

    Raises:
        UserError: it does not exist or fit, or differs between processes.
    """
    with _named(str(config.init_from)):
        with peers.here().together():
            path = trained.locate(str(config.init_from))
            _refuse_misfit(config, path)
        checkpoint = saved_network.agreed(path, "newest")
        network = saved_network.read(path, checkpoint, mesh)
    new = _new_layers(config, network, class_names)
    provenance = {
        "file": _name(str(config.init_from), path),
        "sha256": saved_network.checksum(path, str(network.step)),
        "step": network.step,
        "new_layers": new,
        "differs": _differences(config, network.config),
        "origin": network.origin or record.provenance(path, network.step),
    }
    kept = {layer: arrays for layer, arrays in params.items() if layer in new}
    return network.params | kept, provenance


@contextlib.contextmanager
def _named(source: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        named = "" if str(error).startswith(source) else f"{source}: "
        raise UserError(f"--init-from {named}{error}") from error


def _refuse_misfit(config: Config, path: Path) -> None:
    """Names the layers that do not fit, with both shapes, and the options that do."""
    start = saved_network.read_config(path)
    problems = _misfits(config, start, network_file.last_layer(path))
    there, here = (_flat(each)[_INPUT] for each in (start, config))
    if there != here:
        problems.append(f"it expects pixels times {there}, here they are times {here}")
    if problems:
        listed = "\n  ".join(problems)
        raise UserError(
            f"{path} does not fit this network:\n  {listed}\nOptions that fit: "
            f"{' '.join(_fitting_options(start))}, with the --data options of this run."
        )


def _misfits(config: Config, start: Config, last: str) -> list[str]:
    columns = [each.model.num_columns for each in (start, config)]
    if columns[0] != columns[1]:
        return ["it has {} columns, and this network {}".format(*columns)]
    ours, theirs = parameter_shapes.shapes(config), parameter_shapes.shapes(start)
    problems = []
    for layer in CONV_LAYERS + DENSE_LAYERS:
        is_new = layer > last or (layer == "fc8" and _other_number(config, start))
        if is_new:  # but a new fc8 has inputs too, which fc7 gives
            continue
        there, here = theirs.get(layer), ours.get(layer)
        if there != here:
            shown = [list(of["kernel"]) if of else "missing" for of in (there, here)]
            problems.append("{}: {} there, {} here".format(layer, *shown))
    return problems


def _other_number(config: Config, start: Config) -> bool:
    return config.model.num_classes != start.model.num_classes


def _new_layers(
    config: Config, network: Network, class_names: list[str] | None
) -> dict[str, str]:
    """The layers that are not taken over, and why."""
    absent = [
        layer
        for layer in parameter_shapes.shapes(config)
        if layer not in network.params
    ]
    new = dict.fromkeys(absent, "missing there")
    if "fc8" not in new and _other_number(config, network.config):
        counts = network.config.model.num_classes, config.model.num_classes
        new["fc8"] = "{:,} classes there, {:,} here".format(*counts)
    elif "fc8" not in new and None not in (class_names, network.class_names):
        if class_names != network.class_names:
            new["fc8"] = "the classes have other names"
    return new


def _fitting_options(start: Config) -> list[str]:
    """The options that give a run the network and the input of another."""
    preset, changes = record.nearest_preset(start)
    needed = [
        word
        for name, value in changes.items()
        if name.startswith(("model.", "augment.crop", _INPUT, "data.image_size"))
        and not name.endswith(_NOT_OF_IT)
        for word in record.option(name, value)
    ]
    return ["--preset", preset, *needed]


def _differences(config: Config, start: Config) -> list[str]:
    """What differs although the parameters fit, such as the activation: they compute
    something else here."""
    there, here = (
        {
            name: value
            for name, value in _flat(each).items()
            if name.startswith("model.") and not name.endswith(_NOT_OF_IT)
        }
        for each in (start, config)
    )
    return [line.strip() for line in config_json.differing_lines(there, here)]


def _flat(config: Config) -> dict[str, Any]:
    return config_json.flatten(config_json.to_json(config))


def _name(given: str, path: Path) -> str:
    """The name of a file or run without its place; an address of the hub as it is."""
    if hub.is_address(given):
        return given
    return path.name if saved_network.is_file(path) else path.resolve().name
