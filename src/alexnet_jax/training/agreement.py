"""The batches of a run, as long as all of its processes can go on."""

from collections.abc import Iterator
from typing import Any

from alexnet_jax.system import peers
from alexnet_jax.system.interruption import Interrupted, Interruption


def agreed(batches: Iterator[Any], interruption: Interruption) -> Iterator[Any]:
    """The batches, until one process has a reason to stop: then all stop before the
    same batch, so their states are of the same step.

    The processes ask each other before each batch, on the host: the devices do not
    wait for that, since they still compute the step before.

    Raises:
        Interrupted: a stop is requested, here or in another process; or another process
            cannot read its batch.
        Exception: the batch cannot be read, in a run of one process.
    """
    here = peers.here()
    while True:
        batch = fault = None
        try:
            batch = next(batches)
        except StopIteration:
            return
        except Exception as error:
            if here.count == 1:
                raise
            fault = str(error)
        # Not before the first step: each start gets on, however short its time.
        stops = interruption.has_state and interruption.requested
        reason = here.stop_reason(fault or (interruption.reason if stops else None))
        if reason is not None:
            raise Interrupted(reason)
        yield batch
