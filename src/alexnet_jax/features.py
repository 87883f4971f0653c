"""The command: python -m alexnet_jax.features --workdir runs/ photos/ --output fc7.npz

Activations of named layers of a trained network, into a file; and what the file says.
"""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from alexnet_jax import config_checks
from alexnet_jax.config import MeshConfig, Positive, Threads
from alexnet_jax.errors import UserError

DESCRIPTION = """\
Writes activations of named layers into a file, one row an image.

--list shows the layers. Images are files, folders, - for a list on the standard input,
or a split of a dataset. Each is scaled and cropped as in training's evaluation. Without
images, --linear-probe and --neighbours-of read a file that is there."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says."""

    images: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE ...")
    ] = ()
    """Files, folders (all images below them), or - for a list on the standard input."""
    workdir: Path | None = None
    """Run directory or weights file of the network; only for a file of features that is
    there it is not needed."""
    layers: tuple[str, ...] = ("fc7",)
    """Layers, one or more: conv5, fc7, conv1.norm, pool5, features.12, ..."""
    output: Path | None = None
    """The file: .npz (numpy) or .h5 (HDF5, needs h5py)."""
    list: tyro.conf.FlagCreatePairsOff[bool] = False
    """Prints the layers of the network with shapes and other names, and ends."""
    dataset: str | None = None
    """tfds name of a set to look at instead of files; none: that of the run."""
    split: str | None = None
    """Of the set; with this alone, the images of the run's own dataset."""
    data_dir: str | None = None
    """The tfds data directory; none: that of the run."""
    class_folders: tyro.conf.FlagCreatePairsOff[bool] = False
    """The folder that a file lies in is the name of its class."""
    linear_probe: tyro.conf.FlagCreatePairsOff[bool] = False
    """Prints the error of a linear classifier on each layer; needs labels."""
    neighbours_of: tuple[str, ...] = ()
    """Keys of images in the file whose nearest neighbours are printed, by layer."""
    neighbours: Positive[int] = 6
    """How many neighbours of each."""
    checkpoint: str = "newest"
    """Which: newest, best (of the evaluations in training), or a step."""
    batch_size: Positive[int] | None = None
    """Images at a time, on all devices together; none: that of the run."""
    mesh: MeshConfig = MeshConfig()
    num_workers: Threads | None = None
    """Decoding threads; none: one for each core."""


def run(chosen: Options) -> int:
    """Does what was asked for; returns the number of unreadable images."""
    config_checks.check_ranges(chosen)
    if chosen.list:
        print(_listing(_workdir(chosen)))
        return 0
    output = chosen.output
    if output is None:
        raise UserError("--output: name the file of the features, fc7.npz for example.")
    problems = {}
    chosen = _apart(chosen)
    if chosen.images or chosen.dataset or chosen.split:
        problems = _extract(chosen, output)
        for key, reason in problems.items():
            print(f"{key}: {reason}", file=sys.stderr)
    elif not (chosen.linear_probe or chosen.neighbours_of):
        raise UserError("no images: name files, folders, or a split of a dataset.")
    _look_into(chosen, output)
    return len(problems)


def _workdir(chosen: Options) -> Path:
    if chosen.workdir is None:
        raise UserError(
            "--workdir: name the run directory or weights file of the network."
        )
    return chosen.workdir


def _listing(path: Path) -> str:
    from alexnet_jax.inference import activations, trained

    shapes = activations.shapes(trained.read_config(path))
    other: dict[str, list[str]] = {stage: [] for stage in shapes}
    layers = {stage.split(".")[0] for stage in shapes}
    for name in (*sorted(layers), *activations.CAFFE, *activations.TORCHVISION):
        stage = activations.ALIASES.get(name, name)
        if stage in shapes or stage in layers:
            other[activations.find(name, shapes)].append(name)
    lines = [f"{'stage':16}  {'one image':14}  also called"]
    for stage, shape in shapes.items():
        size = " x ".join(map(str, shape))
        lines.append(f"{stage:16}  {size:14}  {', '.join(other[stage])}")
    return "\n".join(lines)


def _extract(chosen: Options, output: Path) -> dict[str, str]:
    from alexnet_jax.inference import feature_extraction, feature_files, trained_model

    feature_files.check_output(output)
    model = trained_model.load(
        _workdir(chosen), checkpoint=chosen.checkpoint, mesh=chosen.mesh
    )
    return feature_extraction.extract_features(
        model,
        chosen.images,
        layers=chosen.layers,
        output=output,
        dataset=chosen.dataset,
        split=chosen.split,
        data_dir=chosen.data_dir,
        class_folders=chosen.class_folders,
        batch_size=chosen.batch_size,
        num_workers=chosen.num_workers,
    )


def _apart(chosen: Options) -> Options:
    """`--layers conv5 fc7 photos/`: what is there and no layer is an image."""
    from alexnet_jax.inference import activations

    after = tuple(
        one
        for one in chosen.layers
        if not activations.is_name(one) and (one == "-" or Path(one).exists())
    )
    layers = tuple(one for one in chosen.layers if one not in after)
    return dataclasses.replace(chosen, layers=layers, images=chosen.images + after)


def _look_into(chosen: Options, output: Path) -> None:
    from alexnet_jax.inference import feature_files

    found = feature_files.read(output)
    layers = feature_files.layers_of(found)
    print(f"{output}: {len(found['key']):,} images")
    for layer in layers:
        shape = " x ".join(map(str, found[layer].shape[1:]))
        print(f"  {layer:16}  {shape}")
    if chosen.linear_probe:
        _print_probe(found, layers)
    for key in chosen.neighbours_of:
        for layer in layers:
            _print_neighbours(found, layer, key, chosen.neighbours)


def _print_probe(found: dict[str, Any], layers: "list[str]") -> None:
    from alexnet_jax.inference import linear_probe

    print(f"linear probe, {linear_probe.FOLDS} parts: top-1 error, mean and deviation")
    for layer in layers:
        errors = linear_probe.errors(found[layer], found["label"])
        print(f"  {layer:16}  {errors.mean():7.2%} ± {errors.std(ddof=1):.2%}")


def _print_neighbours(found: dict[str, Any], layer: str, key: str, count: int) -> None:
    from alexnet_jax.inference import nearest_neighbors

    print(f"nearest to {key} by {layer}: distance, key")
    for distance, other in nearest_neighbors.of_key(found, layer, key, count):
        print(f"  {distance:10.4g}  {other}")


def main() -> int:
    """Returns the exit code: 0 done, 1 an image cannot be read, 2 a mistake."""
    chosen = tyro.cli(
        Options, prog="python -m alexnet_jax.features", description=DESCRIPTION
    )
    from alexnet_jax.system import devices

    devices.request_cpu_devices(chosen.mesh)
    try:
        return 1 if run(chosen) else 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
