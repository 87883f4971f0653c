"""The processes of one run: what they tell each other, and the loss of one.

Every process keeps one connection to process 0 and sends a sign of life through it.
JAX's own ways are not enough here: its check of the processes ends all others by
abort, without a word that a user understands, and its sync point for preemption knows
no reason but SIGTERM. A sum on the devices would make them wait at each step.
"""

import contextlib
import functools
import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from alexnet_jax.errors import Fault, UserError
from alexnet_jax.system.interruption import EXIT_RESUME
from alexnet_jax.system.peer_links import BEAT, END, LOST, SAID, SAY, Elsewhere, Link
from alexnet_jax.system.streams import printable

_BEATS = 4  # signs of life within the time after which a process counts as lost

T = TypeVar("T")
Stop = Callable[[int, str], None]
"""Ends this process, given the exit code and the reason."""


def _start(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="peers", daemon=True).start()


def _exit(code: int, why: str) -> None:
    """Ends the process at once: its main thread may wait for the lost one forever.

    Every file is written whole or not at all, so nothing is left half-written.
    """
    then = "; the same command resumes" if code == EXIT_RESUME else ""
    with contextlib.suppress(OSError):  # the terminal may be gone
        os.write(2, f"stopped: {printable(why)}{then}\n".encode())
    os._exit(code)


class Reason(NamedTuple):
    """Why all processes of a run stop, and the exit code of all; see `command`."""

    code: int
    text: str


def reason_of(error: Exception) -> Reason:
    return Reason(2 if isinstance(error, UserError) else 1, str(error))


class Peers:
    """This process among those of the run. One process alone has no connections."""

    def __init__(
        self,
        index: int = 0,
        count: int = 1,
        links: Sequence[Link] = (),
        *,
        timeout: float = 60.0,
        stop: Stop | None = None,
    ) -> None:
        """
        Args:
            links: those of process 0; of any other process the one to process 0.
            timeout: seconds without a sign of life after which a process is lost.
            stop: None means that the process ends at once.
        """
        self.index, self.count = index, count
        self._links = links
        self._timeout = timeout
        self._stop = stop or _exit
        self._have_stopped = self._have_failed = False
        self._closing = threading.Event()
        for link in links:
            link.set_timeout(timeout)
            _start(functools.partial(self._listen, link))
        if links:
            _start(self._beat)

    @property
    def is_first(self) -> bool:
        """True for the process that writes and prints; the others only compute."""
        return self.index == 0

    def share(
        self, content: Any = None, *, wait: float | None = None, kind: str = "share"
    ) -> dict[int, Any]:
        """What each process says, by its index, the same in all; None is left out.

        Every process must call this, in the same order, so it is a barrier too.

        Args:
            content: anything that JSON can hold.
            wait: seconds to wait for the others. None means as long as they live.
            kind: what is shared here; the same in all.

        Raises:
            queue.Empty: another process has not called it in time.
            Elsewhere: another process has ended, or shares something else, since one
                has had an error where the others had none.
        """
        if not self.is_first:
            (link,) = self._links
            link.send(SAY, [kind, content])
            kinds, said = link.wait(wait)
        else:
            heard = [(0, [kind, content])]
            heard += [(link.peer, link.wait(wait)) for link in self._links]
            kinds = sorted({of_one for _, (of_one, _) in heard})
            said = [(peer, what) for peer, (_, what) in heard if what is not None]
            for link in self._links:
                link.send(SAID, [kinds, said])
        if len(kinds) > 1:
            text = f"the processes have parted ({', '.join(kinds)}): {dict(said)}"
            raise Fault(text) if self.is_first else Elsewhere(1, text)
        return dict(said)

    def refuse_differences(self, own: Any, what: str) -> None:
        """Raises UserError in one process, and Elsewhere in the others, unless all have
        the same here, which JSON can hold."""
        own = json.loads(json.dumps(own, default=str))
        first = self.share(own, kind="compare")[0]
        with self.together():
            if own != first:
                raise UserError(
                    f"process {self.index} and process 0 differ in {what}: give all "
                    "processes the same."
                )

    def begin(self) -> None:
        """Forgets how the run before ended; a process may do one after the other."""
        self._have_stopped = self._have_failed = False

    @property
    def have_failed(self) -> bool:
        """True once `together` has failed: nothing can be done together any more."""
        return self._have_failed

    def stop_reason(
        self, own: Reason | None, *, wait: float | None = None
    ) -> Reason | None:
        """The reason why the run stops here, in all processes; None if it goes on.

        Args:
            own: that of this process; returned if it is the one that counts, which is
                that of the first process that has one.
            wait: see `share`.
        """
        reasons = self.share(own, wait=wait, kind="stop")
        if not reasons:
            return None
        self._have_stopped = True
        first = min(reasons)
        if first == self.index:
            return own
        code, text = reasons[first]
        return Reason(code, f"process {first}: {text}")

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """A part that every process does; an error in one is an error in all.

        Raises:
            Elsewhere: another process failed. If several did, one of them raises its
                own error, so that it is told once.
        """
        if self.count == 1:
            yield
            return
        own = None
        try:
            yield
        except Exception as error:
            own = error
        news = None
        if own is not None and not isinstance(own, Elsewhere):
            news = [*reason_of(own), type(own).__name__]
        failed = self.share(news, kind="together")
        self._have_failed = self._have_failed or bool(failed)
        if own is not None and (not failed or min(failed) == self.index):
            raise own
        if failed:
            raise Elsewhere(*failed[min(failed)])

    def by_first(self, work: Callable[[], T]) -> T | None:
        """What process 0 does for all; returns its result there, None elsewhere.

        Raises:
            Elsewhere: it failed there.
        """
        result = None
        with self.together():
            if self.is_first:
                result = work()
        return result

    def found_by_first(self, work: Callable[[], Any]) -> Any:
        """What process 0 finds, in all processes; anything that JSON can hold.

        Raises:
            Elsewhere: it failed there.
        """
        return self.share(self.by_first(work), kind="found").get(0)

    def stop_all(self, error: Exception) -> bool:
        """Makes an error of this process, outside `together`, the end of all. They hear
        of it where they share next; False if they wait elsewhere and do not come."""
        if not self._have_stopped:
            try:
                self.stop_reason(reason_of(error), wait=self._timeout)
            except (queue.Empty, Elsewhere):
                return False
        return True

    def leave(self, code: int) -> None:
        """Tells the others how this process ends. If it ends well, waits for them."""
        self._closing.set()
        for link in self._links:
            link.send(END, [code, self._have_stopped or self._have_failed])
        for link in self._links if code == 0 else ():
            link.has_ended.wait(self._timeout)

    def _beat(self) -> None:
        while not self._closing.wait(self._timeout / _BEATS):
            for link in self._links:
                link.send(BEAT)

    def _listen(self, link: Link) -> None:
        while message := link.receive():
            kind, content = message
            if kind in (SAY, SAID):
                link.said.put(content)
            elif kind == LOST:
                return self._lose(*content)
            elif kind == END:
                link.has_ended.set()
                code, together = content
                why = f"{link.name} has ended"
                link.said.put(Elsewhere(code, why))
                if code and not together:
                    self._lose(code, why)
                return None
        link.has_ended.set()
        self._lose(EXIT_RESUME, f"{link.name} is gone")
        return None

    def _lose(self, code: int, why: str) -> None:
        """Ends this process; process 0 tells those that have no connection first."""
        if self._closing.is_set():
            return  # it is leaving anyway
        self._closing.set()
        if self.is_first:
            for link in self._links:
                link.send(LOST, [code, why])
        self._stop(code, why)


_here = Peers()


def here() -> Peers:
    """This process among those of the run; alone until `join`."""
    return _here


def join(peers: Peers) -> None:
    """Makes these the ones of this process."""
    global _here
    _here = peers


def finish(code: int) -> int:
    """Leaves the others with an exit code; the last thing that a command does."""
    if _here.count == 1:
        return code
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    if code:
        _here.leave(code)
        os._exit(code)  # JAX would wait for the others, which may be gone
    import jax

    # Process 0 has JAX's service, so it ends last.
    if _here.is_first:
        _here.leave(code)
    jax.distributed.shutdown()
    if not _here.is_first:
        _here.leave(code)
    return code
