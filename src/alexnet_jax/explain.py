"""The command: python -m alexnet_jax.explain --workdir runs/

Writes a page that explains a trained network, in the order of the paper.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from alexnet_jax import command, config_checks, trained
from alexnet_jax.config import MeshConfig
from alexnet_jax.errors import UserError
from alexnet_jax.ranges import Seed, Threads

DESCRIPTION = """\
Writes a page that explains a trained network, in the order of the paper: layers and
columns, ReLU, two devices, response normalisation, pooling, augmentation, dropout, what
it learned. It is one HTML file that needs no network connection. A network of at most
1 million parameters also runs in the page, on drawings and files."""

FILE = "index.html"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command."""

    images: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE ...")
    ] = ()
    """Files or folders, of which the page shows the first; by default images of the
    run's evaluation split."""
    workdir: Path
    """Run directory, weights file (.safetensors), or a network that comes with the
    package: digits or cifar10."""
    out: Path | None = None
    """Folder for index.html. None means explain/ in the run directory or beside the
    weights file."""
    seed: Seed = 0
    """Seed of the choice of images from the split."""
    data_dir: str | None = None
    """The tfds data directory. None means that of the run."""
    checkpoint: str = "newest"
    """Checkpoint: newest, best (lowest error in training), or a step."""
    mesh: MeshConfig = MeshConfig()
    num_workers: Threads | None = None
    """Decoding threads. None means one per core."""


def run(options: Options) -> str:
    """Writes the page and returns a description."""
    config_checks.check_ranges(options)
    folder = command.results_folder(options.out, options.workdir, "explain")
    _check_writable(folder)
    from alexnet_jax.explanation import content, page, subject
    from alexnet_jax.inference import trained_model

    model = trained_model.load(
        options.workdir, checkpoint=options.checkpoint, mesh=options.mesh
    )
    found = subject.collect(
        trained.locate(options.workdir),
        model,
        options.images,
        data_dir=options.data_dir,
        seed=options.seed,
        num_workers=options.num_workers,
    )
    filled = content.collect(found)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    size = page.write(path, filled)
    return f"wrote {path}, {size / 1e6:.1f} MB: open it in a browser"


def _check_writable(folder: Path) -> None:
    """Raises UserError if the folder can be neither written to nor made."""
    place = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise UserError(
            f"--out {folder} cannot be written: {place} is not a folder that can be "
            "written to."
        )


def main() -> int:
    """Returns the exit code; see `command`."""
    options = command.parse(Options, "alexnet_jax.explain", DESCRIPTION)
    return command.run(lambda: print(run(options)), mesh=options.mesh)


if __name__ == "__main__":
    sys.exit(main())
