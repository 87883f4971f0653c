"""Nearest neighbours by activations (paper, section 6 and Figure 4, right)."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from alexnet_jax.errors import UserError

_ROWS = 256  # that are read from a file at a time


def nearest(
    queries: np.ndarray, parts: Iterable[np.ndarray], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rows with the smallest Euclidean distance |x - q| from each query.

    Memory does not grow with the number of rows: of each part only the nearest stay.

    Args:
        queries: `[queries, ...]`.
        parts: consecutive rows, `[n, ...]` each.
        count: how many; fewer where there are fewer rows.

    Returns:
        Places of the rows, int64 `[queries, count]`, nearest first, the earlier one
        where two are as near; and distances, float64.
    """
    flat = queries.reshape(len(queries), -1).astype(np.float64)
    place = np.empty((len(queries), 0), np.int64)
    distance = np.empty((len(queries), 0))
    start = 0
    for part in parts:
        rows = np.asarray(part).reshape(len(part), -1).astype(np.float64)
        found = np.stack([np.linalg.norm(rows - query, axis=1) for query in flat])
        here = np.broadcast_to(start + np.arange(len(rows)), found.shape)
        place = np.concatenate([place, here], axis=1)
        distance = np.concatenate([distance, found], axis=1)
        best = np.argsort(distance, axis=1, kind="stable")[:, :count]
        place = np.take_along_axis(place, best, axis=1)
        distance = np.take_along_axis(distance, best, axis=1)
        start += len(rows)
    return place, distance


def of_key(
    found: Mapping[str, Any], layer: str, key: str, count: int
) -> list[tuple[float, str]]:
    """The nearest images to one in a file of features: (distance, key), without it.

    Args:
        found: of `feature_files.read`.

    Raises:
        UserError: the file has no such image, or not that layer.
    """
    places = np.flatnonzero(found["key"] == key)
    if not len(places) or layer not in found:
        few = ", ".join(found["key"][:3])
        raise UserError(f"no {layer} of {key!r} in the file: its keys are {few}, ...")
    rows = found[layer]
    query = np.asarray(rows[places[0] : places[0] + 1])
    parts = (rows[i : i + _ROWS] for i in range(0, len(rows), _ROWS))
    place, distance = nearest(query, parts, count + 1)
    return [
        (float(far), str(found["key"][i]))
        for i, far in zip(place[0], distance[0], strict=True)
        if i != places[0]
    ][:count]
