"""The error of a linear classifier on activations."""

import numpy as np

from alexnet_jax.errors import UserError

FOLDS = 5
SOURCES = "Labels come from --labels, --class-folders or a dataset (--split)."
_PENALTIES = np.logspace(0, 6, 7)


def small_classes(label: np.ndarray) -> dict[int, int]:
    """The classes with fewer than five images, which the probe leaves out: class to
    number of images.

    Args:
        label: int32 `[images]`; -1 means none.

    Raises:
        UserError: fewer than two classes have five images.
    """
    classes, counts = np.unique(label[label >= 0], return_counts=True)
    counted = dict(zip(classes.tolist(), counts.tolist(), strict=True))
    small = {label: count for label, count in counted.items() if count < FOLDS}
    if len(counted) - len(small) < 2:
        raise UserError(
            f"--linear-probe: at least two classes of {FOLDS} images are needed, "
            f"and the {sum(counted.values()):,} images with a label have "
            f"{len(counted) - len(small)}. {SOURCES}"
        )
    return small


def errors(activations: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Top-1 error of a linear classifier by five-fold cross-validation.

    Ridge regression on activations standardised to mean 0 and deviation 1; the penalty
    is chosen on the four training folds, by leave-one-out. Folds are stratified by
    class.

    Args:
        activations: `[images, ...]`.
        label: int32 `[images]`; images with label -1, and those of `small_classes`, are
            ignored.

    Returns:
        float64 `[5]`, one fraction per fold.

    Raises:
        UserError: fewer than two classes have five images.
    """
    from sklearn import linear_model, model_selection, pipeline, preprocessing

    label = np.asarray(label)
    used = (label >= 0) & ~np.isin(label, list(small_classes(label)))
    rows = np.asarray(activations)[used].reshape(used.sum(), -1)
    classifier = pipeline.make_pipeline(
        preprocessing.StandardScaler(),
        linear_model.RidgeClassifierCV(alphas=_PENALTIES),
    )
    folds = model_selection.StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    accuracy = model_selection.cross_val_score(classifier, rows, label[used], cv=folds)
    return 1.0 - accuracy
