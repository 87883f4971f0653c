"""Further test sets for ImageNet networks, by their tfds names."""

from dataclasses import dataclass, replace

import numpy as np

CORRUPTED = "imagenet2012_corrupted"
SEVERITIES = range(1, 6)

# Top-1 error of the reference AlexNet, the mean over five severities: the divisor of a
# corruption error (Hendrycks and Dietterich 2019, section 4.1; digits from their
# repository).
ALEXNET_ERRORS = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}


@dataclass(frozen=True, kw_only=True)
class EvaluationSet:
    """How an evaluation set differs from ImageNet."""

    dataset: str
    split: str = "test"
    label: str = "label"
    """Feature with the class."""
    accepted: str | None = None
    """Feature with all correct classes; None if there is one, `label`."""
    occurring_only: bool = False
    """True if the network chooses only among classes that occur in the set."""
    is_crop: bool = False
    """True if images have the size of a crop, so that there is one view."""


_SETS = (
    EvaluationSet(dataset="imagenet_v2"),  # Recht et al. 2019
    EvaluationSet(dataset="imagenet_sketch"),  # Wang et al. 2019
    # Beyer et al. 2020: images without a label do not count.
    EvaluationSet(
        dataset="imagenet2012_real",
        split="validation",
        label="original_label",
        accepted="real_label",
    ),
    # Hendrycks et al. 2021 (two papers): 200 of the classes.
    EvaluationSet(dataset="imagenet_a", occurring_only=True),
    EvaluationSet(dataset="imagenet_r", occurring_only=True),
    EvaluationSet(dataset=CORRUPTED, split="validation", is_crop=True),
)


def find(dataset: str, split: str | None) -> EvaluationSet:
    """The specification of "name" or "name/config"; the default one if unknown."""
    name = dataset.split("/")[0].split(":")[0]
    known = next(
        (spec for spec in _SETS if spec.dataset == name), EvaluationSet(dataset=dataset)
    )
    return replace(known, dataset=dataset, split=split or known.split)


def corrupted_datasets() -> dict[tuple[str, int], str]:
    """The 75 datasets of ImageNet-C, by corruption and severity."""
    return {
        (corruption, severity): f"{CORRUPTED}/{corruption}_{severity}"
        for corruption in ALEXNET_ERRORS
        for severity in SEVERITIES
    }


def corruption_errors(top1_error: dict[tuple[str, int], float]) -> dict[str, float]:
    """CE_c = (sum over severities of error) / (the same for AlexNet), and their mean.

    Args:
        top1_error: a fraction for each (corruption, severity).

    Returns:
        CE of each corruption and, as "mean", mCE, as fractions.
    """
    ratios = {
        corruption: float(
            np.mean([top1_error[corruption, severity] for severity in SEVERITIES])
            / alexnet
        )
        for corruption, alexnet in ALEXNET_ERRORS.items()
    }
    return ratios | {"mean": float(np.mean(list(ratios.values())))}
