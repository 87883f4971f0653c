"""Connections between the processes of a run: lines of JSON, after a greeting."""

import contextlib
import hmac
import json
import queue
import socket
import threading
import time
from typing import Any

BEAT, SAY, SAID, END, LOST = "beat", "say", "said", "end", "lost"
"""Kinds of messages."""

_SECONDS_TO_GREET = 10


class Elsewhere(Exception):
    """Another process has failed, and says why; this one ends with the same code."""

    def __init__(self, code: int, text: str, kind: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.kind = kind
        """The name of the error's class there."""


class Link:
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


def name_of(index: int) -> str:
    return f"process {index} on {socket.gethostname()}"


def accept(server: socket.socket, key: str, count: int, timeout: float) -> list[Link]:
    """Waits for a connection from each of the processes 1 to count - 1.

    Raises:
        TimeoutError: not all of them came.
    """
    links: dict[int, Link] = {}
    until = time.monotonic() + timeout
    while len(links) < count - 1:
        server.settimeout(max(until - time.monotonic(), 0.001))
        connection, _ = server.accept()
        connection.settimeout(_SECONDS_TO_GREET)
        link = Link(0, "", connection)
        greeting = _greeting(link, key)
        if greeting is not None:
            link.peer, link.name = greeting["index"], greeting["name"]
            links[link.peer] = link
        else:
            link.close()  # somebody else's
    return [links[peer] for peer in sorted(links)]


def _greeting(link: Link, key: str) -> dict[str, Any] | None:
    """The first message of a process that knows the key; None of a stranger."""
    _, greeting = link.receive() or ("", None)
    if not isinstance(greeting, dict):
        return None
    knows = hmac.compare_digest(str(greeting.get("key")).encode(), key.encode())
    return greeting if knows else None


def connect(addresses: list[str], port: int, key: str, index: int, name: str) -> Link:
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
        link = Link(0, name, connection)
        link.send(SAY, {"key": key, "index": index, "name": name_of(index)})
        return link
    raise errors[-1]
