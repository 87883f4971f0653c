"""The subject of a page: a network, some images with all their stages, its datasets."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alexnet_jax.config import Config
from alexnet_jax.data import user_images
from alexnet_jax.data.source import Source, open_source
from alexnet_jax.errors import UserError
from alexnet_jax.figures import shown_images
from alexnet_jax.figures.shown_images import Shown
from alexnet_jax.inference.trained_model import Model

# A network runs in the page up to these numbers of parameters and pixels per side.
_PARAMETERS, _SIDE = 1_000_000, 64
_CANDIDATES = 256  # images of the evaluation split to choose from


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What the parts of a page are about."""

    path: Path
    """Run directory or weights file."""
    model: Model
    shown: Shown
    """The images that the reader can choose."""
    stages: dict[str, np.ndarray]
    """All stages of the shown images, float32; see `model.stages`."""
    candidates: Shown | None
    """Images of the evaluation split; None if the dataset is not there."""
    training: Source | None
    """The training split; None if the dataset is not there."""
    num_workers: int | None

    @property
    def config(self) -> Config:
        return self.model.network.config

    @property
    def is_small(self) -> bool:
        """True if the network runs in the page."""
        return is_small(self.model)

    @property
    def is_crowded(self) -> bool:
        """True if the parameters leave little room in the page for all else."""
        return self.is_small and _fills_page(self.model)


def _fills_page(model: Model) -> bool:
    return model.network.num_parameters > _PARAMETERS // 2


def is_small(model: Model) -> bool:
    """True for a network of at most 1 million parameters, for small images."""
    is_narrow = model.network.num_parameters <= _PARAMETERS
    return is_narrow and model.network.config.data.image_size <= _SIDE


def collect(
    path: Path,
    model: Model,
    images: Sequence[str],
    *,
    data_dir: str | None,
    seed: int,
    num_workers: int | None,
) -> Subject:
    """Opens the datasets of the network and chooses images.

    Args:
        images: files or folders to show; none means images of the evaluation split, of
            as many classes as possible.

    Raises:
        UserError: there are neither images nor the dataset, or an image cannot be read.
    """
    model.network.refuse_missing_layers()
    count, config = _num_images(model), model.network.config
    own = None
    if images:
        own = user_images.open_inputs(
            config, images, dataset=None, split=None, data_dir=None
        )
    test, training = _datasets(config, data_dir, required=own is None)
    candidates = test and shown_images.by_chance(model, test, _CANDIDATES, seed)
    shown = shown_images.first(model, own, count) if own else None
    if shown is None:
        assert candidates is not None  # `required` has raised otherwise
        shown = _of_different_classes(candidates, count)
    return Subject(
        path=path,
        model=model,
        shown=shown,
        stages=model.features(list(shown.images), list(model.layers())),
        candidates=candidates,
        training=training,
        num_workers=num_workers,
    )


def _datasets(
    config: Config, data_dir: str | None, *, required: bool
) -> tuple[Source | None, Source | None]:
    """The evaluation and the training split; None for both if they are not there and
    not required."""
    data = dataclasses.replace(
        config.data, data_dir=data_dir or config.data.data_dir, damaged="skip"
    )
    try:
        test = open_source(data, data.eval_split)
        return test, open_source(data, data.train_split)
    except UserError as error:
        if required:
            raise UserError(
                f"{error} Or name images: python -m alexnet_jax.explain ... photo.jpg"
            ) from error
    return None, None


def _num_images(model: Model) -> int:
    """The number of images to choose from, so that the page stays under 6 MB."""
    if not is_small(model):
        return 4
    return 2 if _fills_page(model) else 8


def _of_different_classes(candidates: Shown, count: int) -> Shown:
    """The first image of each class, as far as they reach, in the order of the classes;
    then others."""
    _, first = np.unique(candidates.label, return_index=True)
    rest = np.setdiff1d(np.arange(len(candidates.label)), first)
    places = np.concatenate([first, rest])[:count]
    return Shown(
        candidates.images[places],
        candidates.label[places],
        [candidates.titles[place] for place in places],
    )
