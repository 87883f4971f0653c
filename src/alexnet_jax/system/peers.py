"""The processes of one run: what they tell each other, and the loss of one.

Every process keeps one connection to process 0 and sends a sign of life through it.
JAX's own ways are not enough here: its check of the processes ends all others by
abort, without a word that a user understands, and its sync point for preemption knows
no reason but SIGTERM. A sum on the devices would make them wait at each step.
"""

import contextlib
import functools
import hmac
import json
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from alexnet_jax.errors import UserError
from alexnet_jax.system.interruption import EXIT_RESUME
from alexnet_jax.system.streams import printable

_BEATS = 4  # signs of life within the time after which a process counts as lost
_SECONDS_TO_GREET = 10

# Kinds of messages.
_BEAT, _SAY, _SAID, _END, _LOST = "beat", "say", "said", "end", "lost"

Stop = Callable[[int, str], None]
"""Ends this process, given the exit code and the reason."""


class Elsewhere(Exception):
    """Another process has failed, and says why; this one ends with the same code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class _Link:
    """A connection to one process: messages are lines of JSON."""

    def __init__(self, peer: int, name: str, connection: socket.socket) -> None:
        self.peer = peer
        self.name = name
        self.said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.has_ended = threading.Event()
        self._connection = connection
        self._lines = connection.makefile("rb")
        self._sending = threading.Lock()

    def set_timeout(self, seconds: float) -> None:
        self._connection.settimeout(seconds)

    def send(self, kind: str, content: Any = None) -> None:
        """Sends a message; a connection that is lost is noticed where it is read."""
        line = json.dumps([kind, content]).encode() + b"\n"
        with self._sending, contextlib.suppress(OSError):
            self._connection.sendall(line)

    def receive(self) -> tuple[str, Any] | None:
        """The next message; None if the process is gone."""
        try:
            kind, content = json.loads(self._lines.readline())
            return kind, content
        except (OSError, ValueError, TypeError):
            return None

    def wait(self, seconds: float | None) -> Any:
        """What the process says next.

        Raises:
            queue.Empty: it says nothing in time.
            Elsewhere: it has ended.
        """
        said = self.said.get(timeout=seconds)
        if isinstance(said, Elsewhere):
            self.said.put(said)  # for the next call
            raise said
        return said

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)  # ends a read
        self._lines.close()
        self._connection.close()


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


def _exit_code(error: Exception) -> int:
    """The exit code of an error; see `command`."""
    return 2 if isinstance(error, UserError) else 1


class Peers:
    """This process among those of the run. One process alone has no connections."""

    def __init__(
        self,
        index: int = 0,
        count: int = 1,
        links: Sequence[_Link] = (),
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
        self._stops = self._failed = False
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
        self, content: Any = None, *, wait: float | None = None
    ) -> dict[int, Any]:
        """What each process says, by its index, the same in all; None is left out.

        Every process must call this, in the same order, so it is a barrier too.

        Args:
            content: anything that JSON can hold.
            wait: seconds to wait for the others. None means as long as they live.

        Raises:
            queue.Empty: another process has not called it in time.
            Elsewhere: another process has ended.
        """
        if not self.is_first:
            (link,) = self._links
            link.send(_SAY, content)
            return dict(link.wait(wait))
        said = {0: content} | {link.peer: link.wait(wait) for link in self._links}
        said = {peer: what for peer, what in sorted(said.items()) if what is not None}
        for link in self._links:
            link.send(_SAID, list(said.items()))
        return said

    def begin(self) -> None:
        """Forgets how the run before ended; a process may do one after the other."""
        self._stops = self._failed = False

    @property
    def have_failed(self) -> bool:
        """True once `together` has failed: nothing can be done together any more."""
        return self._failed

    def stop_reason(self, own: str | None, *, wait: float | None = None) -> str | None:
        """The reason why the run stops here, in all processes; None if it goes on.

        Args:
            own: that of this process.
            wait: see `share`.
        """
        reasons = self.share(own, wait=wait)
        if not reasons:
            return None
        self._stops = True
        first = min(reasons)
        name = "" if first == self.index else f"process {first}: "
        return name + reasons[first]

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
            news = [_exit_code(own), str(own)]
        failed = self.share(news)
        self._failed = self._failed or bool(failed)
        if own is not None and (not failed or min(failed) == self.index):
            raise own
        if failed:
            raise Elsewhere(*failed[min(failed)])

    def tell(self, error: Exception) -> bool:
        """Makes an error of this process, outside `together`, the end of all. They hear
        of it where they share next; False if they wait elsewhere and do not come."""
        if not self._stops:
            try:
                self.stop_reason(str(error), wait=self._timeout)
            except queue.Empty:
                return False
        return True

    def leave(self, code: int) -> None:
        """Tells the others how this process ends. If it ends well, waits for them."""
        self._closing.set()
        for link in self._links:
            link.send(_END, [code, self._stops or self._failed])
        for link in self._links if code == 0 else ():
            link.has_ended.wait(self._timeout)

    def _beat(self) -> None:
        while not self._closing.wait(self._timeout / _BEATS):
            for link in self._links:
                link.send(_BEAT)

    def _listen(self, link: _Link) -> None:
        while message := link.receive():
            kind, content = message
            if kind in (_SAY, _SAID):
                link.said.put(content)
            elif kind == _LOST:
                return self._lose(*content)
            elif kind == _END:
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
                link.send(_LOST, [code, why])
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


def name_of(index: int) -> str:
    return f"process {index} on {socket.gethostname()}"


def accept(server: socket.socket, key: str, count: int, timeout: float) -> list[_Link]:
    """Waits for a connection from each of the processes 1 to count - 1.

    Raises:
        TimeoutError: not all of them came.
    """
    links: dict[int, _Link] = {}
    until = time.monotonic() + timeout
    while len(links) < count - 1:
        server.settimeout(max(until - time.monotonic(), 0.001))
        connection, _ = server.accept()
        connection.settimeout(_SECONDS_TO_GREET)
        link = _Link(0, "", connection)
        greeting = _greeting(link, key)
        if greeting is not None:
            link.peer, link.name = greeting["index"], greeting["name"]
            links[link.peer] = link
        else:
            link.close()  # somebody else's
    return [links[peer] for peer in sorted(links)]


def _greeting(link: _Link, key: str) -> dict[str, Any] | None:
    """The first message of a process that knows the key; None of a stranger."""
    _, greeting = link.receive() or ("", None)
    if not isinstance(greeting, dict):
        return None
    knows = hmac.compare_digest(str(greeting.get("key")), key)
    return greeting if knows else None


def connect(addresses: list[str], port: int, key: str, index: int, name: str) -> _Link:
    """Connects to process 0, at the first address that answers.

    Args:
        name: of process 0.

    Raises:
        OSError: none answers.
    """
    errors = []
    for address in addresses:
        try:
            connection = socket.create_connection((address, port), _SECONDS_TO_GREET)
        except OSError as error:
            errors.append(error)
            continue
        link = _Link(0, name, connection)
        link.send(_SAY, {"key": key, "index": index, "name": name_of(index)})
        return link
    raise errors[-1]
