"""The command: python -m alexnet_jax.features --workdir runs/ photos/ --output fc7.npz

Writes activations of named layers of a trained network to a file, and analyses it.
"""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from alexnet_jax import command, config_checks
from alexnet_jax.config import MeshConfig
from alexnet_jax.errors import UserError
from alexnet_jax.ranges import Positive, Threads
from alexnet_jax.system.streams import printable

_NAMED = 10  # classes in the line about those that the probe leaves out

DESCRIPTION = """\
Writes activations of named layers to a file, one row per image.

--list shows the layers. Images are files, folders, - for a list on standard input, or a
split of a dataset. Each is scaled and cropped as in training's evaluation. Without
images, --linear-probe and --neighbours-of read an existing file.

--labels FILE is a table with the header image,label: a path, or a file name that no
other image has, and the name of its class."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command."""

    images: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE ...")
    ] = ()
    """Files, folders (all images below them), or - for a list on standard input."""
    workdir: Path | None = None
    """Run directory or weights file of the network; not needed to analyse an existing
    feature file."""
    layers: tuple[str, ...] = ("fc7",)
    """One or more layers: conv5, fc7, conv1.norm, pool5, features.12, ..."""
    output: Path | None = None
    """Feature file: .npz (NumPy) or .h5 (HDF5, needs h5py)."""
    list: tyro.conf.FlagCreatePairsOff[bool] = False
    """Lists the layers of the network with their shapes and other names, and exits."""
    dataset: str | None = None
    """tfds name of a dataset to read instead of files. None means that of the run."""
    split: str | None = None
    """Split of the dataset; alone, it reads the run's own dataset."""
    data_dir: str | None = None
    """The tfds data directory. None means that of the run."""
    class_folders: tyro.conf.FlagCreatePairsOff[bool] = False
    """Takes the name of a file's folder as its class."""
    labels: Path | None = None
    """CSV file with the classes of the images; its header is image,label."""
    views: Literal[1, "crop"] = 1
    """1: centre; crop: the images are exactly the network's crops, and are neither
    scaled nor cropped."""
    linear_probe: tyro.conf.FlagCreatePairsOff[bool] = False
    """Prints the error of a linear classifier on each layer; needs labels. Classes with
    fewer than five images are left out."""
    neighbours_of: tuple[str, ...] = ()
    """Prints the nearest neighbours of the images with these keys, for each layer."""
    neighbours: Positive[int] = 6
    """Number of neighbours of each."""
    distance: Literal["cosine", "euclidean"] = "cosine"
    """Of neighbours. cosine: 1 - cos of the angle between activations, 1 if one of them
    is all zeros; euclidean: length of the difference, as in the paper."""
    checkpoint: str = "newest"
    """Checkpoint: newest, best (lowest error in training), or a step."""
    batch_size: Positive[int] | None = None
    """Images at a time, on all devices together. None means that of the run."""
    mesh: MeshConfig = MeshConfig()
    num_workers: Threads | None = None
    """Decoding threads. None means one per core."""


def run(options: Options) -> int:
    """Extracts and analyses as requested; returns the number of unreadable images."""
    config_checks.check_ranges(options)
    if options.list:
        print(_listing(_workdir(options)))
        return 0
    output = options.output
    if output is None:
        raise UserError("--output: name the feature file, for example fc7.npz.")
    problems = {}
    options = _with_images_apart(options)
    if options.images or options.dataset or options.split:
        _check_probe(options)
        problems = _extract(options, output)
        for key, reason in problems.items():
            print(printable(f"{key}: {reason}"), file=sys.stderr)
    elif not (options.linear_probe or options.neighbours_of):
        raise UserError("no images: name files, folders, or a split of a dataset.")
    _analyse(options, output)
    return len(problems)


def _check_probe(options: Options) -> None:
    """Refuses images without labels before the work."""
    from alexnet_jax.inference import linear_probe

    is_labelled = options.labels or options.class_folders
    if options.linear_probe and not (options.dataset or options.split or is_labelled):
        raise UserError(
            f"--linear-probe: the images have no labels. {linear_probe.SOURCES}"
        )


def _workdir(options: Options) -> Path:
    if options.workdir is None:
        raise UserError(
            "--workdir: name the run directory or weights file of the network."
        )
    return options.workdir


def _listing(path: Path) -> str:
    from alexnet_jax.inference import activations
    from alexnet_jax.training import saved_network
    from alexnet_jax.weights import network_file

    config = saved_network.read_config(path)
    shapes = activations.shapes(config, network_file.last_layer(path))
    other: dict[str, list[str]] = {stage: [] for stage in shapes}
    layers = {activations.layer_of(stage) for stage in shapes}
    for name in (*sorted(layers), *activations.CAFFE, *activations.TORCHVISION):
        stage = activations.ALIASES.get(name, name)
        if stage in shapes or stage in layers:
            other[activations.find(name, shapes)].append(name)
    lines = [f"{'stage':16}  {'one image':14}  also called"]
    for stage, shape in shapes.items():
        size = " x ".join(map(str, shape))
        lines.append(f"{stage:16}  {size:14}  {', '.join(other[stage])}")
    return "\n".join(lines)


def _extract(options: Options, output: Path) -> dict[str, str]:
    from alexnet_jax.inference import feature_extraction, feature_files

    feature_files.check_output(output)
    return feature_extraction.extract_features(
        _workdir(options),
        options.images,
        layers=options.layers,
        output=output,
        dataset=options.dataset,
        split=options.split,
        data_dir=options.data_dir,
        class_folders=options.class_folders,
        labels=options.labels,
        views=options.views,
        checkpoint=options.checkpoint,
        mesh=options.mesh,
        batch_size=options.batch_size,
        num_workers=options.num_workers,
    )


def _with_images_apart(options: Options) -> Options:
    """Arguments after --layers that name existing files, or -, are images:
    `--layers conv5 fc7 photos/`."""
    from alexnet_jax.inference import activations

    images = tuple(
        name
        for name in options.layers
        if not activations.is_name(name) and (name == "-" or Path(name).exists())
    )
    layers = tuple(name for name in options.layers if name not in images)
    return dataclasses.replace(options, layers=layers, images=options.images + images)


def _analyse(options: Options, output: Path) -> None:
    from alexnet_jax.inference import feature_files, linear_probe

    arrays = feature_files.read(output)
    layers = feature_files.layers_of(arrays)
    if options.linear_probe and not (arrays["label"] >= 0).any():
        raise UserError(
            f"--linear-probe: the images in {output} have no labels: compute it again. "
            f"{linear_probe.SOURCES}"
        )
    print(f"{output}: {len(arrays['key']):,} images")
    for layer in layers:
        shape = " x ".join(map(str, arrays[layer].shape[1:]))
        print(f"  {layer:16}  {shape}")
    if options.linear_probe:
        _print_probe(arrays, layers)
    for key in options.neighbours_of:
        for layer in layers:
            _print_neighbours(arrays, layer, key, options)


def _print_probe(arrays: dict[str, Any], layers: "list[str]") -> None:
    from alexnet_jax.inference import linear_probe

    small = linear_probe.small_classes(arrays["label"])
    if small:
        print(_left_out(small, arrays["class_names"].tolist()))
    print(f"linear probe, {linear_probe.FOLDS} folds: top-1 error, mean and deviation")
    for layer in layers:
        errors = linear_probe.errors(arrays[layer], arrays["label"])
        print(f"  {layer:16}  {errors.mean():7.2%} ± {errors.std(ddof=1):.2%}")


def _left_out(small: dict[int, int], class_names: "list[str]") -> str:
    """The line about the classes that are too small for the probe."""
    from alexnet_jax.inference import linear_probe

    names = dict(enumerate(class_names))
    listed = [f"{names.get(label, label)} ({count})" for label, count in small.items()]
    named = ", ".join(listed[:_NAMED] + ["..."] * (len(listed) > _NAMED))
    return (
        f"left out: {len(small):,} class{'es' * (len(small) > 1)} with fewer than "
        f"{linear_probe.FOLDS} images: {printable(named)}"
    )


def _print_neighbours(
    arrays: dict[str, Any], layer: str, key: str, options: Options
) -> None:
    from alexnet_jax.inference import nearest_neighbors

    found = nearest_neighbors.of_key(
        arrays, layer, key, options.neighbours, distance=options.distance
    )
    print(f"nearest to {printable(key)} by {layer}: {options.distance} distance, key")
    for distance, other in found:
        print(f"  {distance:10.4g}  {printable(other)}")


def main() -> int:
    """Returns the exit code; see `command`."""
    options = command.parse(Options, "alexnet_jax.features", DESCRIPTION)
    return command.run(lambda: run(options) and command.FAULT, mesh=options.mesh)


if __name__ == "__main__":
    sys.exit(main())
