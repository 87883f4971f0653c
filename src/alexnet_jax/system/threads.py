"""Work in threads, with results in order."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def usable_cores() -> int:
    """Cores that this process may run on: SLURM, containers and taskset give a process
    some of the machine's."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def count(num_workers: int | None) -> int:
    """The number of threads; None means one per usable core."""
    return num_workers or usable_cores()


def in_order(
    function: Callable[[Any], Any],
    arguments: Iterable[Any],
    *,
    workers: int,
    depth: int,
    name: str,
) -> Generator[Any, None, None]:
    """Yields `function(argument)` for each argument, up to `depth` results ahead.

    An exception reaches the consumer in its turn. Closing the iterator stops the
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
