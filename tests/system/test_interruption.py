"""The first signal asks to stop, the second quits, and handlers are restored."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from alexnet_jax.system.interruption import Interrupted, Interruption

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1]


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_asks(number):
    before = signal.getsignal(number)
    with Interruption() as interruption:
        interruption.has_state = True
        assert not interruption.requested
        os.kill(os.getpid(), number)
        assert interruption.requested
    assert signal.getsignal(number) is before


def in_process(body):
    """Runs code with an interruption that owns the process, as the commands do."""
    code = (
        "import os, sys, time\n"
        "from alexnet_jax.system.interruption import Interrupted, Interruption\n"
        f"with Interruption(owns_process=True) as interruption:\n{body}"
    )
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


# A long call during which Python handles no signal, as a compilation.
BUSY = "    import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)\n"


@pytest.mark.parametrize("number", SIGNALS)
def test_the_second_quits_at_once(number):
    result = in_process(
        "    interruption.has_state = True\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "    while not interruption.requested: time.sleep(0.01)\n"
        "    print('still here', flush=True)\n"
        "    time.sleep(0.1)\n"
        f"    os.kill(os.getpid(), {int(number)})\n" + BUSY
    )
    assert result.returncode == 128 + number
    assert result.stdout == "still here\n"
    assert "again to quit at once" in result.stderr


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_quits_at_once_where_nothing_is_to_be_saved(number):
    """During a call in which Python handles no signal."""
    result = in_process(
        "    import threading\n"
        f"    kill = lambda: os.kill(os.getpid(), {int(number)})\n"
        "    threading.Timer(0.3, kill).start()\n" + BUSY
    )
    assert result.returncode == 75
    assert "nothing to save" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_library_call_gets_an_exception():
    """So a notebook survives."""
    with Interruption(), pytest.raises(Interrupted, match="nothing to save"):
        os.kill(os.getpid(), signal.SIGINT)
    with Interruption() as interruption:
        interruption.has_state = True
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_time_runs_out():
    assert not Interruption(60).requested
    assert not Interruption().requested
    over = Interruption(1e-9)
    time.sleep(0.01)
    assert over.requested and over.reason == "--run.max-minutes 1e-09 reached: stopped"


def test_another_thread_changes_nothing():
    before = signal.getsignal(signal.SIGINT)
    during = []

    def body():
        with Interruption():
            during.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert during == [before]


def test_nohup_is_respected():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            interruption.has_state = True
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interruption.requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_terminal_that_is_gone_does_not_hinder():
    """The message cannot be written, but the run still stops."""
    result = in_process(
        "    os.close(2); os.open('/dev/full', os.O_WRONLY)\n"
        "    interruption.has_state = True\n"
        "    os.kill(os.getpid(), 1)\n"
        "    time.sleep(0.1)\n"
        "    print(interruption.requested, interruption.reason)\n"
    )
    assert (result.stdout, result.returncode) == ("True stopped\n", 0)
