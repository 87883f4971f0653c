"""The command: python -m alexnet_jax.prepare --source FOLDER

Makes a dataset for training from the official ImageNet archives, from folders of
classes, or from any prepared tfds dataset. TensorFlow is not needed.
"""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from alexnet_jax import command, config_checks
from alexnet_jax.config import NonNegative, Threads
from alexnet_jax.errors import UserError
from alexnet_jax.preparation.source_images import Form

# What is slow to import comes after the options have been read.
if TYPE_CHECKING:
    from alexnet_jax.preparation.source_images import Originals

DESCRIPTION = """\
Scales and crops images once, as the authors did, and stores them as a tfds dataset.

The same command again goes on where it was stopped, however it was stopped. Then:
python -m alexnet_jax.main --preset alexnet2012 --workdir runs/alexnet2012"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command."""

    source: str | None = None
    """A folder with ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar; or a folder of
    class folders, perhaps in train/ and val/; or the name of a tfds dataset."""
    name: str | None = None
    """Of the new dataset; none: that of the source and the size, imagenet2012_256."""
    data_dir: str | None = None
    """The tfds data directory; none: tfds's own default."""
    form: Annotated[Form, tyro.conf.arg(name="")] = Form()
    raw: bool = False
    """Also writes the pixels as they are (196,608 bytes an image of 256x256): the
    fastest to read. May be asked for later."""
    devkit: Path | None = None
    """ILSVRC2012_devkit_t12.tar.gz, whose validation labels then hold, not tfds's."""
    max_unreadable: NonNegative[int] = 100
    """Images that may be unreadable; they are listed and left out."""
    num_workers: Threads | None = None
    """Threads; none: one for each core."""
    check: bool = False
    """Reads the prepared dataset again, all of it, and reports."""


def run(options: Options) -> int:
    """Prepares, checks, or both; returns the exit code."""
    config_checks.check_ranges(options)
    from alexnet_jax.data import tfds_records
    from alexnet_jax.preparation import verification, write_dataset, write_raw
    from alexnet_jax.system.progress import ImageCounter

    data_dir = tfds_records.directory_of(options.data_dir)
    name = options.name
    if options.source is not None:
        originals = _open(options.source, data_dir, options.devkit)
        name = name or f"{originals.name}_{options.form.image_size}"
        _say(originals, data_dir / name)
        _check_space(originals, data_dir, name, options)
        write_dataset.write_dataset(
            originals,
            name,
            data_dir,
            options.form,
            num_workers=options.num_workers,
            max_unreadable=options.max_unreadable,
            count=ImageCounter,
        )
    elif not (options.check or options.raw) or name is None:
        raise UserError(
            "say what to prepare with --source, or what to --check with --name."
        )
    if options.raw:
        write_raw.write_raw(name, data_dir, options.num_workers, ImageCounter)
    if options.check:
        return _report(
            *verification.check(
                name, data_dir, num_workers=options.num_workers, count=ImageCounter
            )
        )
    print("\n".join(verification.summary(name, data_dir)))
    return 0


def _open(source: str, data_dir: Path, devkit: Path | None) -> "Originals":
    """Finds out what a source is."""
    from alexnet_jax.preparation import class_folders, imagenet_tars, tfds_source

    path = Path(source).expanduser()
    if any(
        (path / tar).exists()
        for tar in (imagenet_tars.TRAIN_TAR, imagenet_tars.VALIDATION_TAR)
    ):
        print(f"reading the contents of the archives in {path}", flush=True)
        return imagenet_tars.open_tars(path, devkit)
    if devkit is not None:
        raise UserError(f"--devkit {devkit} is for the official archives alone.")
    if path.is_dir():
        return class_folders.open_folders(path)
    if path.is_absolute() or source.startswith((".", "~")):
        raise UserError(f"--source {source}: there is no such folder.")
    return tfds_source.open_tfds(source, data_dir)


def _say(originals: "Originals", place: Path) -> None:
    images = ", ".join(f"{s.num_images:,} {n}" for n, s in originals.splits.items())
    print(f"{images} images of {len(originals.class_names)} classes, to {place}")
    for remark in originals.remarks:
        print(f"incomplete: {remark}")
    sys.stdout.flush()


def _check_space(
    originals: "Originals", data_dir: Path, name: str, options: Options
) -> None:
    """Raises UserError if the disk hasn't the space that the dataset will take."""
    from alexnet_jax.preparation.conversion import stored_size

    each = options.form.image_size**2 * 3 if options.raw else 0
    needed = sum(
        split.num_images * (each + stored_size(split, options.form))
        for split in originals.splits.values()
    )
    there = sum(
        path.stat().st_size for path in (data_dir / name).rglob("*") if path.is_file()
    )
    place = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    free = shutil.disk_usage(place).free
    if needed - there > free:
        raise UserError(
            f"the dataset takes about {needed / 1e9:.1f} GB, {there / 1e9:.1f} of them "
            f"are there, and {place} has {free / 1e9:.1f} GB left: name another place "
            "with --data-dir" + (", or leave out --raw." if options.raw else ".")
        )


def _report(found: list[str], faults: list[str]) -> int:
    print("\n".join(found))
    for fault in faults[:50]:
        print(f"error: {fault}", file=sys.stderr)
    print(f"{len(faults)} faults" if faults else "all is well")
    return 1 if faults else 0


def main() -> int:
    """Returns the exit code; see `command`."""
    options = command.parse(Options, "alexnet_jax.prepare", DESCRIPTION)
    return command.run(lambda: run(options), stopped=command.GOES_ON)


if __name__ == "__main__":
    sys.exit(main())
