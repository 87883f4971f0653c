"""What the processes of a run agree on before each batch: whether all of them go on."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from alexnet_jax.errors import Fault
from alexnet_jax.system import peers
from alexnet_jax.system.interruption import EXIT_RESUME, Interrupted, Interruption
from alexnet_jax.system.peer_links import Elsewhere
from alexnet_jax.system.peers import Reason


class Agreement:
    """Stops all processes of a run at the same place, so that they save the same step.

    They ask each other on the host: the devices do not wait for that, since they still
    compute the step before.
    """

    def __init__(
        self,
        interruption: Interruption,
        skipped: Mapping[int, str] | None = None,
        save_minutes: float | None = None,
    ) -> None:
        """
        Args:
            skipped: the damaged examples that this process has left out so far. None
                means that such an example is a fault.
            save_minutes: time from one checkpoint to the next within an epoch. None
                means that there are none.
        """
        self.damaged: set[int] = set()
        """Examples that were left out so far, in any process."""
        self.save_is_due = False
        """True after a batch if it is time to save, by the clock of process 0."""
        self._interruption = interruption
        self._skipped = skipped
        self._save_minutes, self._saved_at = save_minutes, time.monotonic()
        self._fault: Exception | None = None

    def batches(self, batches: Iterator[Any]) -> Iterator[Any]:
        """The batches, until one process has a reason to stop: then all stop before the
        same batch.

        Raises:
            Interrupted: a signal, the time limit or a `Fault`, in any process. The same
                command can go on, perhaps on other machines.
            Elsewhere: another process has an error that would come again, such as a
                damaged record.
            Exception: the error of this process.
        """
        while True:
            batch = None
            try:
                batch = next(batches)
            except StopIteration:
                return
            except Exception as error:
                self._fault = error
            self._meet(self._request())
            self._share_news()
            yield batch

    @contextlib.contextmanager
    def postponed(self) -> Iterator[None]:
        """Keeps a `Fault` of this process until all meet next: the others, who have
        none, are on their way there."""
        try:
            yield
        except Fault as error:
            self._fault = error

    def confirm(self) -> None:
        """All meet here; raises, in all of them, what one of them has postponed."""
        self._meet(None)

    def _request(self) -> Reason | None:
        """The reason of a signal or of the time limit."""
        # Not before the first step: each start gets on, however short its time.
        if self._interruption.has_state and self._interruption.requested:
            return Reason(EXIT_RESUME, self._interruption.reason)
        return None

    def _meet(self, own: Reason | None) -> None:
        here = peers.here()
        fault, self._fault = self._fault, None
        if fault is not None and here.count == 1:
            raise fault
        if fault is not None:
            own = _reason_of(fault)
        reason = here.stop_reason(own)
        if reason is None:
            return
        if reason.code == EXIT_RESUME:
            raise Interrupted(reason.text)
        if fault is not None and reason is own:
            raise fault
        raise Elsewhere(*reason)

    def saved(self) -> None:
        """Tells that a checkpoint has been saved now."""
        self._saved_at = time.monotonic()

    def _share_news(self) -> None:
        if self._skipped is None and self._save_minutes is None:
            return
        skipped = sorted((self._skipped or {}).keys() - self.damaged)
        news = peers.here().share([skipped, self._is_due()], kind="news")
        for indices, _ in news.values():
            self.damaged.update(indices)
        self.save_is_due = news[0][1]

    def _is_due(self) -> bool:
        if self._save_minutes is None:
            return False
        return time.monotonic() - self._saved_at > 60 * self._save_minutes


def _reason_of(fault: Exception) -> Reason:
    """A disk or network may work again, or that of another machine; a damaged record
    would stop each start that a batch system makes."""
    if isinstance(fault, Fault | OSError):
        return Reason(EXIT_RESUME, f"{str(fault).rstrip('.')}: stopped")
    return peers.reason_of(fault)
