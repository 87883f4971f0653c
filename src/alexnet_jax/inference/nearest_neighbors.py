"""Nearest neighbours by activations (paper, section 6 and Figure 4, right).

Written here and not taken from a library, so that rows stream past once.
"""

import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np

from alexnet_jax.errors import UserError

Distance = Literal["cosine", "euclidean"]

_ROWS = 256  # read from a file at a time


def nearest(
    queries: np.ndarray,
    parts: Iterable[np.ndarray],
    count: int,
    *,
    distance: Distance = "euclidean",
) -> tuple[np.ndarray, np.ndarray]:
    """The rows with the smallest distance from each query.

    Euclidean: |x - q|, as in the paper. Cosine: 1 - cos(x, q), on 0 to 2; a row or a
    query of zeros has no angle, and the distance 1.

    Memory does not grow with the number of rows: only the nearest so far are kept.

    Args:
        queries: `[queries, ...]`.
        parts: consecutive rows, `[n, ...]` each.
        count: neighbours per query; fewer if there are fewer rows.

    Returns:
        Indices of the rows, int64 `[queries, count]`, nearest first and ties by index;
        and distances, float64.

    Raises:
        UserError: there is no such distance.
    """
    if distance not in typing.get_args(Distance):
        raise UserError(f"distance {distance!r}: it is cosine or euclidean.")
    flat = queries.reshape(len(queries), -1).astype(np.float64)
    place = np.empty((len(queries), 0), np.int64)
    found = np.empty((len(queries), 0))
    start = 0
    for part in parts:
        rows = np.asarray(part).reshape(len(part), -1).astype(np.float64)
        new = np.stack([_distances(rows, query, distance) for query in flat])
        here = np.broadcast_to(start + np.arange(len(rows)), new.shape)
        place = np.concatenate([place, here], axis=1)
        found = np.concatenate([found, new], axis=1)
        best = np.argsort(found, axis=1, kind="stable")[:, :count]
        place = np.take_along_axis(place, best, axis=1)
        found = np.take_along_axis(found, best, axis=1)
        start += len(rows)
    return place, found


def _distances(rows: np.ndarray, query: np.ndarray, distance: Distance) -> np.ndarray:
    """From a query `[units]` to each row, float64 `[rows]`."""
    if distance == "euclidean":
        return np.linalg.norm(rows - query, axis=1)
    # |x - q|^2 / 2 of unit vectors is 1 - cos, and exactly 0 for equal ones.
    distances = np.linalg.norm(_unit(rows) - _unit(query), axis=1) ** 2 / 2
    has_angle = rows.any(axis=1) & query.any()
    return np.where(has_angle, distances, 1.0)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """The vectors along the last axis, scaled to length 1; those of zeros as they
    are."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)


def of_key(
    arrays: Mapping[str, Any],
    layer: str,
    key: str,
    count: int,
    *,
    distance: Distance = "euclidean",
) -> list[tuple[float, str]]:
    """The images nearest to one in a feature file, itself excluded: (distance, key).

    Args:
        arrays: from `feature_files.read`.
        distance: see `nearest`.

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
    place, distances = nearest(query, parts, count + 1, distance=distance)
    return [
        (float(far), str(arrays["key"][i]))
        for i, far in zip(place[0], distances[0], strict=True)
        if i != places[0]
    ][:count]
