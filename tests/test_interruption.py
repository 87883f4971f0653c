"""interruption.py: the first signal asks, the second quits, handlers come back."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from alexnet_jax.interruption import Interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks(number):
    before = signal.getsignal(number)
    with Interruption() as interruption:
        assert not interruption.requested
        os.kill(os.getpid(), number)
        assert interruption.requested
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_quits_at_once(number):
    code = (
        "import os, time\n"
        "from alexnet_jax.interruption import Interruption\n"
        "with Interruption():\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "    print('still here', flush=True)\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "    time.sleep(60)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30
    )
    assert result.returncode == 128 + number
    assert result.stdout == "still here\n"
    assert "again to quit at once" in result.stderr


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
