"""Processes of one run: they share what each says, stop together, and notice a loss.

Here each process is a thread with connections of its own.
"""

import queue
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from alexnet_jax.errors import Fault, UserError
from alexnet_jax.system import peer_links
from alexnet_jax.system.peer_links import Elsewhere
from alexnet_jax.system.peers import Peers, Reason

KEY = "secret"
STOPPED = Reason(75, "stopped")


class Run:
    """The processes of a run, and how each was made to stop."""

    def __init__(self, count, timeout):
        self.stopped = queue.Queue()
        with socket.create_server(("localhost", 0)) as server:
            port = server.getsockname()[1]
            with ThreadPoolExecutor(count) as pool:
                accepted = pool.submit(peer_links.accept, server, KEY, count, 10)
                self.links = [
                    peer_links.connect(
                        ["localhost"], port, KEY, index, "process 0 on HOST"
                    )
                    for index in range(1, count)
                ]
                first = accepted.result()
        everyone = [first, *[[link] for link in self.links]]
        self.peers = [
            Peers(index, count, links, timeout=timeout, stop=self._stop_of(index))
            for index, links in enumerate(everyone)
        ]

    def _stop_of(self, index):
        return lambda code, why: self.stopped.put((index, code, why))

    def each(self, function):
        """function(peers) in all processes at once; results or errors, by index."""
        with ThreadPoolExecutor(len(self.peers)) as pool:
            futures = [pool.submit(function, each) for each in self.peers]
        return [future.exception() or future.result() for future in futures]

    def close(self):
        for each in self.peers:
            for link in each._links:
                link.close()


@pytest.fixture
def run():
    runs = []

    def start(count=3, timeout=20.0):
        runs.append(Run(count, timeout))
        return runs[-1]

    yield start
    for each in runs:
        each.each(lambda peers: peers.leave(1))
        each.close()


def test_all_hear_the_same(run):
    three = run(3)
    said = three.each(lambda here: here.share({"index": here.index}))
    assert said == [{0: {"index": 0}, 1: {"index": 1}, 2: {"index": 2}}] * 3


def test_what_is_none_is_left_out(run):
    three = run(3)
    said = three.each(lambda here: here.share("x" if here.index == 2 else None))
    assert said == [{2: "x"}] * 3


def test_share_waits_for_the_slowest(run):
    three = run(3)
    ready = threading.Event()

    def arrive(here):
        if here.index == 1:
            time.sleep(0.3)
            ready.set()
        here.share()
        return ready.is_set()

    assert three.each(arrive) == [True] * 3


def test_many_rounds_stay_in_order(run):
    two = run(2)

    def count(here):
        return [here.share(10 * number + here.index) for number in range(200)]

    expected = [{0: 10 * n, 1: 10 * n + 1} for n in range(200)]
    assert two.each(count) == [expected] * 2


def test_one_stops_all(run):
    three = run(3)
    wishes = {1: Reason(75, "disk full"), 2: Reason(1, "damaged")}
    reasons = three.each(lambda here: here.stop_reason(wishes.get(here.index)))
    assert [reason.code for reason in reasons] == [75] * 3
    told = [reason.text for reason in reasons]
    assert told == ["process 1: disk full", "disk full", "process 1: disk full"]
    assert reasons[1] is wishes[1]


def test_no_reason_no_stop(run):
    assert run(2).each(lambda here: here.stop_reason(None)) == [None, None]


def test_an_error_in_one_is_an_error_in_all(run):
    three = run(3)

    def set_up(here):
        with here.together():
            if here.index == 1:
                raise UserError("--workdir x cannot be written")

    first, own, third = three.each(set_up)
    assert isinstance(own, UserError)
    for error in (first, third):
        assert isinstance(error, Elsewhere)
        assert error.code == 2
        assert "cannot be written" in str(error)


def test_differences_are_refused(run):
    two = run(2)
    same = two.each(lambda here: here.refuse_differences({"seed": 1}, "their options"))
    assert same == [None, None]
    first, own = two.each(lambda here: here.refuse_differences(here.index, "data"))
    assert isinstance(own, UserError) and "process 1 and process 0 differ" in str(own)
    assert isinstance(first, Elsewhere) and first.code == 2


def test_processes_that_part_say_so(run):
    """Calls that do not match: the first tells what each has said."""
    two = run(2)
    first, other = two.each(lambda here: here.share(1, kind=f"kind {here.index}"))
    assert isinstance(first, Fault) and "kind 0, kind 1" in str(first)
    assert isinstance(other, Elsewhere) and other.code == 1


def test_the_same_error_is_told_once(run):
    three = run(3)

    def set_up(here):
        with here.together():
            raise Fault("no space")

    errors = three.each(set_up)
    assert [type(error) for error in errors] == [Fault, Elsewhere, Elsewhere]
    assert [error.code for error in errors[1:]] == [1, 1]


def test_a_lost_process_stops_all_others(run):
    """Its connection ends when it dies, however it dies."""
    three = run(3)
    three.links[1].close()  # process 2
    stopped = [three.stopped.get(timeout=5) for _ in range(3)]
    told = {index: (code, why) for index, code, why in stopped}
    assert told[0][0] == told[1][0] == 75
    assert "process 2 on" in told[0][1] and "is gone" in told[0][1]
    assert told[1] == told[0]


def test_the_loss_of_process_0(run):
    three = run(3)
    for link in three.peers[0]._links:
        link.close()
    stopped = [three.stopped.get(timeout=5) for _ in range(3)]
    # Here process 0 still lives, and may tell one of them of the other.
    assert sorted(index for index, *_ in stopped) == [0, 1, 2]
    assert all(code == 75 and "is gone" in why for _, code, why in stopped)


def test_a_silent_process_is_lost(run):
    """As one whose machine has lost its network."""
    two = run(2, timeout=0.8)
    two.peers[1]._closing.set()  # no sign of life from now on
    began = time.monotonic()
    index, code, why = two.stopped.get(timeout=10)
    assert (index, code) == (0, 75) and "process 1 on" in why
    assert 0.3 < time.monotonic() - began < 5


def test_a_living_process_is_not_lost(run):
    two = run(2, timeout=0.5)
    time.sleep(2)
    assert two.stopped.empty()
    assert two.each(lambda here: here.share(here.index)) == [{0: 0, 1: 1}] * 2


def test_one_that_ends_with_an_error_ends_the_others(run):
    three = run(3)
    three.peers[1].leave(2)
    stopped = sorted(three.stopped.get(timeout=5) for _ in range(2))
    assert [(index, code) for index, code, _ in stopped] == [(0, 2), (2, 2)]
    assert all("process 1 on" in why for *_, why in stopped)


def test_after_a_common_stop_none_is_lost(run):
    three = run(3)
    three.each(lambda here: here.stop_reason(STOPPED if here.is_first else None))
    three.each(lambda here: here.leave(75))
    time.sleep(0.3)
    assert three.stopped.empty()


def test_waiting_for_one_that_has_ended(run):
    """It ended as all had agreed, so this one is not stopped; but it will not come."""
    two = run(2)
    two.each(lambda here: here.stop_reason(STOPPED))
    two.peers[1].leave(75)
    with pytest.raises(Elsewhere) as caught:
        two.peers[0].share()
    assert caught.value.code == 75
    with pytest.raises(Elsewhere):
        two.peers[0].share()


def test_an_error_that_was_told_within(run):
    """A part within a part; the error is that of the process that had it."""
    two = run(2)

    def set_up(here):
        with here.together():
            with here.together():
                if here.index == 1:
                    raise UserError("all checkpoints are damaged")

    first, own = two.each(set_up)
    assert isinstance(own, UserError)
    assert isinstance(first, Elsewhere) and first.code == 2


def test_a_new_run_forgets_the_failure_of_the_one_before(run):
    two = run(2)

    def fail(here):
        with here.together():
            raise Fault("no space")

    two.each(fail)
    assert two.each(lambda here: here.have_failed) == [True, True]
    two.each(lambda here: here.begin())
    assert two.each(lambda here: here.have_failed) == [False, False]


def test_the_first_waits_for_the_others_at_a_good_end(run):
    two = run(2)
    ended = []

    def end(here):
        if not here.is_first:
            time.sleep(0.5)
            ended.append(1)
        here.leave(0)
        return list(ended)

    assert two.each(end)[0] == [1]
    assert two.stopped.empty()


def test_a_process_that_cannot_be_told(run):
    """Process 1 waits elsewhere, for instance in a collective."""
    two = run(2, timeout=0.6)
    assert two.peers[0].stop_all(Fault("disk full")) is False


def test_a_stranger_is_sent_away():
    """Neither one that knows no key nor one that says nothing takes a place."""
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
        with ThreadPoolExecutor(1) as pool:
            accepted = pool.submit(peer_links.accept, server, KEY, 2, 10)
            for text in (b"GET / HTTP/1.1\r\n", b"[]\n", b'["say", {"key": "x"}]\n'):
                with socket.create_connection(("localhost", port)) as stranger:
                    stranger.sendall(text)
            mine = peer_links.connect(["localhost"], port, KEY, 1, "process 0 on HOST")
            (link,) = accepted.result()
    assert link.peer == 1
    link.close()
    mine.close()


def test_not_all_came():
    with socket.create_server(("localhost", 0)) as server, pytest.raises(TimeoutError):
        peer_links.accept(server, KEY, 2, 0.2)


def test_the_first_address_that_answers():
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
        names = ["no-such-host.invalid", "localhost"]
        link = peer_links.connect(names, port, KEY, 1, "process 0 on HOST")
        link.close()


def test_one_process_alone_needs_nobody():
    alone = Peers()
    assert alone.share("x") == {0: "x"}
    assert alone.stop_reason(STOPPED) == STOPPED
    with pytest.raises(UserError), alone.together():
        raise UserError("wrong")
    assert not alone.have_failed
