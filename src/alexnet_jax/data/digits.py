"""Handwritten digits as a tfds dataset: 1,797 real images that ship with scikit-learn.

They keep the default run small but complete: like a run on ImageNet, it reads a
prepared tfds dataset. (UCI optical recognition of handwritten digits, 8x8 pixels.)
"""

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from alexnet_jax.errors import UserError
from alexnet_jax.system.streams import print_line

_TEST_EVERY = 5
_INK = 16  # the highest value in scikit-learn's arrays


class Digits(tfds.core.GeneratorBasedBuilder):
    """Digits 0 to 9 as 8x8 grey pixels, 0-255.

    Every fifth image is in the test set: 1,437 train, 360 test. The images are ordered
    by writer, so both sets contain all writers.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Handwritten digits, from scikit-learn.",
            homepage="https://archive.ics.uci.edu/dataset/80",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(8, 8, 1), encoding_format="png"
                    ),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager  # nothing to download
        from sklearn.datasets import load_digits  # slow, and only needed once

        digits: Any = load_digits()
        rows = np.arange(len(digits.target))
        is_test = rows % _TEST_EVERY == 0
        return {
            "train": self._generate_examples(digits, rows[~is_test]),
            "test": self._generate_examples(digits, rows[is_test]),
        }

    def _generate_examples(
        self, digits: Any, rows: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for row in rows:
            pixels = np.round(digits.images[row] * (255 / _INK)).astype(np.uint8)
            encoded = io.BytesIO()
            Image.fromarray(pixels).save(encoded, format="PNG")
            encoded.seek(0)
            yield int(row), {"image": encoded, "label": int(digits.target[row])}


def prepare(data_dir: str | Path) -> None:
    """Writes the dataset to a tfds data directory, as ArrayRecord, unless it exists.

    tfds writes to a temporary directory and renames it, so a partial dataset is never
    mistaken for a complete one. If several processes write, the first to finish wins.

    Raises:
        UserError: the directory cannot be written to.
    """
    if (Path(data_dir) / "digits" / str(Digits.VERSION)).exists():
        return
    builder = Digits(data_dir=str(data_dir), file_format="array_record")
    print_line(f"preparing the digits in {builder.data_path}", sys.stdout)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # tfds announces a download
            builder.download_and_prepare()
    except OSError as error:
        # If it exists now, another process was faster.
        if not builder.data_path.exists():
            raise UserError(
                f"the digits cannot be written to {builder.data_path} ({error}): name "
                "another directory with --data.data-dir."
            ) from error
