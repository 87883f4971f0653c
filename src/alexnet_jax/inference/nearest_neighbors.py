"""Nearest neighbours by activations (paper, section 6 and Figure 4, right).

Written here and not taken from a library, so that rows stream past once.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from alexnet_jax.errors import UserError

_ROWS = 256  # read from a file at a time


def nearest(
    queries: np.ndarray, parts: Iterable[np.ndarray], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rows with the smallest Euclidean distance |x - q| from each query.

    Memory does not grow with the number of rows: only the nearest so far are kept.

    Args:
        queries: `[queries, ...]`.
        parts: consecutive rows, `[n, ...]` each.
        count: neighbours per query; fewer if there are fewer rows.

    Returns:
        Indices of the rows, int64 `[queries, count]`, nearest first and ties by index;
        and distances, float64.
    """
    flat = queries.reshape(len(queries), -1).astype(np.float64)
    place = np.empty((len(queries), 0), np.int64)
    distance = np.empty((len(queries), 0))
    start = 0
    for part in parts:
        rows = np.asarray(part).reshape(len(part), -1).astype(np.float64)
        new = np.stack([np.linalg.norm(rows - query, axis=1) for query in flat])
        here = np.broadcast_to(start + np.arange(len(rows)), new.shape)
        place = np.concatenate([place, here], axis=1)
        distance = np.concatenate([distance, new], axis=1)
        best = np.argsort(distance, axis=1, kind="stable")[:, :count]
        place = np.take_along_axis(place, best, axis=1)
        distance = np.take_along_axis(distance, best, axis=1)
        start += len(rows)
    return place, distance


def of_key(
    arrays: Mapping[str, Any], layer: str, key: str, count: int
) -> list[tuple[float, str]]:
    """The images nearest to one in a feature file, itself excluded: (distance, key).

    Args:
        arrays: from `feature_files.read`.

    Raises:
        UserError: the file has no such image or layer.
    """
    places = np.flatnonzero(arrays["key"] == key)
    if not len(places) or layer not in arrays:
        few = ", ".join(arrays["key"][:3])
        raise UserError(f"no {layer} of {key!r} in the file: its keys are {few}, ...")
    rows = arrays[layer]
    query = np.asarray(rows[places[0] : places[0] + 1])
    parts = (rows[i : i + _ROWS] for i in range(0, len(rows), _ROWS))
    place, distance = nearest(query, parts, count + 1)
    return [
        (float(far), str(arrays["key"][i]))
        for i, far in zip(place[0], distance[0], strict=True)
        if i != places[0]
    ][:count]
