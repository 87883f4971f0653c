"""The command: python -m alexnet_jax.visualize kernels --workdir runs/

Draws figures of a trained network: Figures 3 and 4 of the paper, learning curves, maps.
"""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from alexnet_jax import command, config_checks
from alexnet_jax.config import MeshConfig
from alexnet_jax.ranges import Positive, Seed, Threads

# Slow imports come after the options are parsed.
if TYPE_CHECKING:
    from alexnet_jax.figures.shown_images import Shown
    from alexnet_jax.inference.trained_model import Model

DESCRIPTION = """\
Draws a figure of a run, as PNG and SVG.

kernels: conv1 by column (Figure 3). predictions: images with their five most probable
labels (Figure 4, left). neighbours: images and the nearest training images by the last
hidden layer (Figure 4, right). curves: errors, loss and learning rate. maps: the most
active feature maps of each layer for an image. overview: the network (Figure 2), its
kernels, its error and some predictions, in one picture."""

_CANDIDATES = 256  # test images among which overview finds right and wrong predictions


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command."""

    figure: tyro.conf.Positional[
        Literal["kernels", "predictions", "neighbours", "curves", "maps", "overview"]
    ]
    """The figure to draw."""
    images: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE ...")
    ] = ()
    """Files or folders; by default images of the run's evaluation split."""
    workdir: Path
    """Run directory, weights file (.safetensors), or a network that comes with the
    package: digits or cifar10."""
    out: Path | None = None
    """Output folder. None means figures/ in the run directory or beside the weights
    file."""
    count: Positive[int] | None = None
    """Number of images. None means 8 for predictions, 5 for neighbours, 6 for
    overview."""
    with_images: bool = True
    """False leaves the images out of overview."""
    seed: Seed = 0
    """Seed of the choice of images from the split."""
    layer: str = "fc7"
    """Layer whose activations are compared for neighbours."""
    neighbours: Positive[int] = 6
    """Number of neighbours per image."""
    among: Positive[int] | None = None
    """Looks for neighbours among this many training images, the first ones. None means
    all."""
    dataset: str | None = None
    """tfds name of another dataset to take images from."""
    split: str | None = None
    """Split to take images from. None means the run's evaluation split."""
    data_dir: str | None = None
    """The tfds data directory. None means that of the run."""
    checkpoint: str = "newest"
    """Checkpoint: newest, best (lowest error in training), or a step."""
    mesh: MeshConfig = MeshConfig()
    num_workers: Threads | None = None
    """Decoding threads. None means one per core."""


def run(options: Options) -> str:
    """Draws the figure, writes its files, and returns a description."""
    config_checks.check_ranges(options)
    from alexnet_jax.figures import curves, drawing

    drawing.new_figure(1, 1)  # raises before any work if matplotlib is missing
    if options.figure == "curves":
        figure, text = curves.draw(curves.collect(options.workdir)), ""
    else:
        figure, text = _of_network(options)
    folder = command.results_folder(options.out, options.workdir, "figures")
    files = drawing.save(figure, folder, options.figure)
    return "\n".join([*filter(None, [text]), *(f"wrote {file}" for file in files)])


def _of_network(options: Options) -> tuple[Any, str]:
    from alexnet_jax.figures import kernels, maps, predictions
    from alexnet_jax.inference import trained_model

    model = trained_model.load(
        options.workdir, checkpoint=options.checkpoint, mesh=options.mesh
    )
    if options.figure == "kernels":
        columns = kernels.collect(model.network)
        return kernels.draw(columns), kernels.describe(columns)
    if options.figure == "overview":
        return _overview(model, options), ""
    if options.figure == "predictions":
        shown = _shown(model, options, options.count or 8)
        labelled = predictions.collect(model, shown.images, shown.label, shown.titles)
        return predictions.draw(labelled), ""
    if options.figure == "maps":
        shown = _shown(model, options, 1)
        image, title = shown.images[0], shown.titles[0]
        return maps.draw(image, title, maps.collect(model, image)), ""
    return _neighbours(model, options)


def _overview(model: "Model", options: Options) -> Any:
    from alexnet_jax.figures import curves, overview, predictions

    found = curves.collect(options.workdir)
    if not options.with_images:
        return overview.draw(model.network, found, [])
    shown = _shown(model, options, _CANDIDATES)
    labelled = predictions.collect(model, shown.images, shown.label, shown.titles)
    chosen = overview.choose(labelled, options.count or 6)
    return overview.draw(model.network, found, chosen)


def _shown(model: "Model", options: Options, count: int) -> "Shown":
    """The named files, or random images of a split."""
    from alexnet_jax.data import user_images
    from alexnet_jax.figures import shown_images

    config = model.network.config
    split = None if options.images else options.split or config.data.eval_split
    source = user_images.open_inputs(
        config,
        options.images,
        dataset=options.dataset,
        split=split,
        data_dir=options.data_dir,
    )
    if options.images:
        return shown_images.first(model, source, options.count)
    return shown_images.by_chance(model, source, count, options.seed)


def _neighbours(model: "Model", options: Options) -> tuple[Any, str]:
    from alexnet_jax.data import class_names
    from alexnet_jax.data.source import open_source
    from alexnet_jax.figures import neighbours

    shown = _shown(model, options, options.count or 5)
    config = model.network.config
    data_dir = options.data_dir or config.data.data_dir
    settings = dataclasses.replace(config.data, data_dir=data_dir)
    training = open_source(settings, config.data.train_split)
    if options.among is not None:
        number = max(1, min(options.among, training.num_examples))
        training = dataclasses.replace(training, num_examples=number)
    queries = neighbours.collect(
        model,
        shown.images,
        shown.label,
        shown.titles,
        training,
        class_names.readable(training.class_names, config.model.num_classes),
        layer=options.layer,
        count=options.neighbours,
        num_workers=options.num_workers,
    )
    figure = neighbours.draw(queries, options.layer)
    return figure, neighbours.describe(queries)


def main() -> int:
    """Returns the exit code; see `command`."""
    options = command.parse(Options, "alexnet_jax.visualize", DESCRIPTION)
    return command.run(lambda: print(run(options)), mesh=options.mesh)


if __name__ == "__main__":
    sys.exit(main())
