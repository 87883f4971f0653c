"""The error of a linear classifier on activations."""

import numpy as np

from alexnet_jax.errors import UserError

FOLDS = 5
_PENALTIES = np.logspace(0, 6, 7)


def errors(activations: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Top-1 error of a linear classifier by five-fold cross-validation.

    Ridge regression on activations standardised to mean 0 and deviation 1; the penalty
    is chosen on the four training folds, by leave-one-out. Folds are stratified by
    class.

    Args:
        activations: `[images, ...]`.
        label: int32 `[images]`; images with label -1 are ignored.

    Returns:
        float64 `[5]`, one fraction per fold.

    Raises:
        UserError: there are fewer than two classes, or a class has fewer than five
            images.
    """
    from sklearn import linear_model, model_selection, pipeline, preprocessing

    label = np.asarray(label)
    known = label >= 0
    counts = np.unique(label[known], return_counts=True)[1]
    if len(counts) < 2 or counts.min() < FOLDS:
        raise UserError(
            f"--linear-probe: {known.sum()} images with a label, {len(counts)} classes"
            + (f", the smallest of {counts.min()} images" if len(counts) else "")
            + f": at least two classes with {FOLDS} images each are needed. Labels "
            "come from a dataset (--split) or from --class-folders."
        )
    rows = np.asarray(activations)[known].reshape(known.sum(), -1)
    classifier = pipeline.make_pipeline(
        preprocessing.StandardScaler(),
        linear_model.RidgeClassifierCV(alphas=_PENALTIES),
    )
    folds = model_selection.StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    accuracy = model_selection.cross_val_score(classifier, rows, label[known], cv=folds)
    return 1.0 - accuracy
