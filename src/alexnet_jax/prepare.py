"""The command: python -m alexnet_jax.prepare --source PATH

Makes a training dataset from the official archives of ImageNet, CIFAR-10, Tiny ImageNet
or MNIST, from class folders, or from any prepared tfds dataset, without TensorFlow.
"""

import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from alexnet_jax import command, config_checks
from alexnet_jax.errors import UserError
from alexnet_jax.preparation.source_images import Form, Originals
from alexnet_jax.ranges import NonNegative, Threads
from alexnet_jax.system.streams import printable

DESCRIPTION = """\
Scales and crops images once, as the authors did, and stores them as a tfds dataset.
Those of CIFAR-10, Tiny ImageNet and MNIST have one size and are stored as they are.

The same command resumes, however it was stopped. It ends with the command to train."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command."""

    source: str | None = None
    """Folder with ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar;
    cifar-10-binary.tar.gz, tiny-imagenet-200.zip, or their folder; folder with the four
    idx files of MNIST; folder of class folders, possibly in train/ and val/; or name of
    a tfds dataset."""
    name: str | None = None
    """Name of the new dataset. None means that of the source, with the size if images
    are scaled: imagenet2012_256, cifar10."""
    data_dir: str | None = None
    """The tfds data directory. None means tfds's default."""
    form: Annotated[Form, tyro.conf.arg(name="")] = Form()
    raw: bool = False
    """Also writes raw pixels, the fastest to read (196,608 bytes per 256x256 image).
    Can be added later."""
    devkit: Path | None = None
    """ILSVRC2012_devkit_t12.tar.gz, whose validation labels replace tfds's."""
    max_unreadable: NonNegative[int] = 100
    """Highest number of unreadable images, which are listed and left out."""
    num_workers: Threads | None = None
    """Threads. None means one per core."""
    check: bool = False
    """Rereads the whole prepared dataset, and reports faults."""


def run(options: Options) -> int:
    """Prepares, checks, or both; returns the exit code."""
    config_checks.check_ranges(options)
    # Slow imports come after the options are parsed.
    from alexnet_jax.data import tfds_records
    from alexnet_jax.preparation import (
        next_command,
        recognition,
        verification,
        write_dataset,
        write_raw,
    )

    data_dir = tfds_records.directory_of(options.data_dir)
    name = options.name
    if options.source is not None:
        if name is not None:  # before archives are read
            _check_name(name)
        originals = recognition.open_originals(options.source, data_dir, options.devkit)
        _refuse_form(originals, options.form)
        name = name or _default_name(originals, options.form)
        _check_name(name)
        _say(originals, data_dir / name)
        _check_space(originals, data_dir, name, options)
        write_dataset.write_dataset(
            originals,
            name,
            data_dir,
            originals.kept or options.form,
            num_workers=options.num_workers,
            max_unreadable=options.max_unreadable,
        )
    elif not (options.check or options.raw) or name is None:
        raise UserError(
            "name what to prepare with --source, or what to --check with --name."
        )
    if options.raw:
        write_raw.write_raw(name, data_dir, options.num_workers)
    if options.check:
        summary, faults = verification.check(
            name, data_dir, num_workers=options.num_workers
        )
    else:
        summary, faults = verification.summary(name, data_dir), []
    print("\n".join(map(printable, summary)))
    if options.check:
        _report(faults)
    if not faults and (train := next_command.training(name, options.data_dir)):
        print(f"Next: {printable(train)}")
    return 1 if faults else 0


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z]\w*", name):
        raise UserError(
            f"{printable(name)} is no name for a dataset: choose a --name of letters, "
            "digits and underscores that begins with a letter."
        )


def _refuse_form(originals: Originals, form: Form) -> None:
    if originals.kept and form != Form():
        raise UserError(
            f"the images of {originals.name} are stored as they are: omit "
            "--image-size, --quality and --subsampling."
        )


def _default_name(originals: Originals, form: Form) -> str:
    return originals.name if originals.kept else f"{originals.name}_{form.image_size}"


def _say(originals: Originals, place: Path) -> None:
    images = ", ".join(f"{s.num_images:,} {n}" for n, s in originals.splits.items())
    lines = [f"{images} images of {len(originals.class_names)} classes, to {place}"]
    lines += [f"incomplete: {remark}" for remark in originals.remarks]
    print("\n".join(map(printable, lines)), flush=True)


def _check_space(
    originals: Originals, data_dir: Path, name: str, options: Options
) -> None:
    """Raises UserError if the disk lacks the space for the dataset."""
    from alexnet_jax.preparation.conversion import stored_size

    form = originals.kept or options.form
    each = form.image_size**2 * 3 if options.raw else 0
    needed = sum(
        split.num_images * (each + stored_size(split, form))
        for split in originals.splits.values()
    )
    existing = sum(
        path.stat().st_size for path in (data_dir / name).rglob("*") if path.is_file()
    )
    place = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    free = shutil.disk_usage(place).free
    if needed - existing > free:
        raise UserError(
            f"the dataset takes about {needed / 1e9:.1f} GB, of which "
            f"{existing / 1e9:.1f} GB exist, and {place} has {free / 1e9:.1f} GB left: "
            "choose another --data-dir" + (", or omit --raw." if options.raw else ".")
        )


def _report(faults: list[str]) -> None:
    for fault in faults[:50]:
        print(f"error: {fault}", file=sys.stderr)
    print(f"{len(faults)} faults" if faults else "no faults")


def main() -> int:
    """Returns the exit code; see `command`."""
    options = command.parse(Options, "alexnet_jax.prepare", DESCRIPTION)
    return command.run(lambda: run(options), stopped=command.RESUMES)


if __name__ == "__main__":
    sys.exit(main())
