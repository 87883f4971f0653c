"""Work in threads, its results in order."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def count(num_workers: int | None) -> int:
    """That many threads; by default one for each core."""
    return num_workers or os.cpu_count() or 1


def in_order(
    function: Callable[[Any], Any],
    arguments: Iterable[Any],
    *,
    workers: int,
    depth: int,
    name: str,
) -> Generator[Any, None, None]:
    """`function(argument)` of each argument in turn, up to `depth` ahead of its use.

    An exception reaches the consumer in its turn. Closing the iterator ends the
    threads.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix=name)
    pending = deque()
    try:
        for argument in arguments:
            pending.append(pool.submit(function, argument))
            if len(pending) > depth:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
