"""Our commands in forked processes, and what must be equal at the end of two runs.

The process that forks has imported everything and started nothing: a try costs no
imports. It must never use a JAX device, since threads do not survive a fork.
"""

import functools
import gc
import hashlib
import json
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

REPOSITORY = Path(__file__).parents[2]
# Four steps an epoch, two epochs, a checkpoint after each, on two column devices. Most
# of a try is tracing, so there are few layers.
TRAIN = (
    *("--data.train-split", "train[:256]", "--data.eval-split", "test[:64]"),
    *("--num-epochs", "2", "--run.log-every-steps", "3"),
    *("--run.mesh.data", "1", "--run.mesh.column", "2"),
    *("--model.without", "conv3", "conv4", "fc7"),
)
STEPS_PER_EPOCH, NUM_STEPS = 4, 8
SEAL = "SHA256SUMS"
_PATIENCE = 300  # seconds after which a job counts as hanging
_CRASHED = 70  # exit code of a command that ends with an exception

Main = Callable[[], int | None]


class Place(NamedTuple):
    """Where a campaign works."""

    folder: Path
    """For everything that it writes."""
    data: Path
    """The tfds data directory of all campaigns."""
    whole: Path
    """The undisturbed run, its summary and its duration; one for all campaigns."""
    out: Path
    """The folder of the results, which outlives the process."""

    @property
    def seconds(self) -> float:
        """From the start of the undisturbed job to its end."""
        return float((self.whole.parent / "seconds").read_text())


class Job(NamedTuple):
    """A command in a process of its own."""

    process: int
    output: Path
    """What it says, on standard output and standard error."""

    def has_ended(self) -> bool:
        return _wait(self.process, os.WNOHANG) is not None

    def send(self, number: signal.Signals) -> None:
        os.kill(self.process, number)

    def end(self, patience: float = _PATIENCE) -> tuple[int, str]:
        """Exit code, negative for a signal, and all that was said. Kills a job that
        hangs, and raises TimeoutError."""
        deadline = time.monotonic() + patience
        while not self.has_ended():
            if time.monotonic() > deadline:
                self.send(signal.SIGKILL)
                os.waitpid(self.process, 0)
                raise TimeoutError(f"the job hangs: {self.said()[-500:]}")
            time.sleep(0.005)
        _, status = os.waitpid(self.process, 0)
        return os.waitstatus_to_exitcode(status), self.said()

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def wait_until(self, condition: Callable[[], Any]) -> bool:
        """Looks again and again; false if the job ended before."""
        deadline = time.monotonic() + _PATIENCE
        while not condition():
            if self.has_ended() or time.monotonic() > deadline:
                return False
            time.sleep(0.0005)
        return True


def _wait(process: int, options: int) -> Any:
    """Leaves the dead process, so that its number is not used again."""
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT | options)


def start(
    main: Main,
    arguments: tuple[Any, ...],
    output: Path,
    *,
    before: Callable[[], None] = lambda: None,
    after: Callable[[], None] = lambda: None,
) -> Job:
    """Forks a command.

    Args:
        main: of the command; it reads sys.argv.
        before: called in the new process before the command.
        after: called in the new process if the command ends with 0.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        return Job(process, output)
    code = _CRASHED
    try:
        _redirect(output)
        sys.argv = ["campaign", *map(str, arguments)]
        before()
        code = main() or 0
        gc.collect()  # finalisers may complain
        if code == 0:
            after()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        code = _CRASHED
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect(output: Path) -> None:
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(file, 1)
    os.dup2(file, 2)


def run(main: Main, arguments: tuple[Any, ...], output: Path) -> tuple[int, str]:
    return start(main, arguments, output).end()


def start_training(
    place: Place,
    workdir: Path,
    *more: Any,
    before: Callable[[], None] = lambda: None,
    after: Callable[[], None] = lambda: None,
) -> Job:
    """The job that campaigns disturb. If it ends with 0, its summary lies beside its
    directory."""
    from alexnet_jax import main

    def begin() -> None:
        note_steps(workdir)
        before()

    def end() -> None:
        after()
        write_summary(workdir)

    options = ("--workdir", workdir, "--data.data-dir", place.data, *TRAIN, *more)
    number = len(list(workdir.parent.glob(f"{workdir.name}.said*")))
    output = workdir.with_name(f"{workdir.name}.said{number}")
    return start(main.main, options, output, before=begin, after=end)


def _beside(workdir: Path, suffix: str) -> Path:
    return workdir.with_name(f"{workdir.name}.{suffix}")


def note_steps(workdir: Path) -> None:
    """Keeps the number of the last step that this process has done in a file."""
    from alexnet_jax.training.step_log import StepLog

    file = os.open(_beside(workdir, "step"), os.O_WRONLY | os.O_CREAT)
    add = StepLog.add

    def noted(log: StepLog, step: int, *rest: Any) -> None:
        add(log, step, *rest)
        os.pwrite(file, b"%9d" % step, 0)

    StepLog.add = noted  # type: ignore[method-assign]


def last_step(workdir: Path) -> int:
    """The last step that a job has done, saved or not; 0 for none."""
    path = _beside(workdir, "step")
    return int(path.read_text() or 0) if path.exists() else 0


def checkpoint_folders(workdir: Path) -> list[Path]:
    """Those of finished and of unfinished checkpoints."""
    try:
        return [path for path in (workdir / "checkpoints").iterdir() if path.is_dir()]
    except FileNotFoundError:
        return []


def saved_step(workdir: Path) -> int:
    """The step of the newest checkpoint with a seal; 0 for none."""
    folders = checkpoint_folders(workdir)
    sealed = [int(path.name) for path in folders if (path / SEAL).exists()]
    return max(sealed, default=0)


def write_summary(workdir: Path) -> None:
    """What `differences` compares, beside a finished run."""
    _beside(workdir, "summary").write_text(json.dumps(_summary_of(workdir)))


def _summary_of(workdir: Path) -> dict[str, Any]:
    """Checksums of all leaves of the newest checkpoint; the evaluations; the steps of
    the log. Uses JAX."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return {
        "state": {
            name: hashlib.sha256(leaf.tobytes()).hexdigest()
            for name, leaf in state_of(workdir)[1].items()
        },
        "evaluations": [r for r in records if r["kind"] == "eval"],
        "steps": [r["step"] for r in records if r["kind"] == "train"],
    }


def state_of(workdir: Path, which: str = "newest") -> tuple[int, dict[str, np.ndarray]]:
    """Step and leaves, by name, of a checkpoint, as `evaluate` reads it."""
    import jax

    from alexnet_jax.training import checkpoint_reading

    abstract = abstract_state(workdir)
    directory = workdir / "checkpoints"
    step, state = checkpoint_reading.read_state(directory, abstract, which)
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return step, {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


@functools.cache
def request_devices() -> None:
    """For a process that uses JAX and forks no more."""
    from alexnet_jax.config import MeshConfig
    from alexnet_jax.system import devices

    devices.request_cpu_devices(MeshConfig())


def abstract_state(directory: Path) -> Any:
    import jax

    from alexnet_jax import columns, train_step
    from alexnet_jax.training import workdir

    config = workdir.read_config(directory)
    mesh = columns.make_mesh(config.run.mesh, config.model.num_columns, jax.devices())
    return train_step.abstract_train_state(config, mesh)


def differences(whole: Path, parts: Path, *, every: int = 1) -> list[str]:
    """What the summary of a disturbed run has otherwise than the undisturbed one.

    Args:
        every: only the lines of the log whose step is a multiple of it must be there.
    """
    expected, found = (
        json.loads(_beside(one, "summary").read_text()) for one in (whole, parts)
    )
    state, other = expected["state"], found["state"]
    differing = sorted(n for n in state | other if state.get(n) != other.get(n))
    if expected["evaluations"] != found["evaluations"]:
        differing.append("evaluations")
    steps = found["steps"]
    # A run that was asked to stop logs the step at which it stopped too.
    needed = {step for step in expected["steps"] if step % every == 0}
    if steps != sorted(set(steps)) or not needed <= set(steps):
        differing.append(f"steps of the log: {steps}")
    return differing


def whole_run(place: Place) -> None:
    """Trains twice, so that the second run compiles nothing, and compares."""
    place.whole.parent.mkdir()
    for workdir in (place.whole.with_name("first"), place.whole):
        began = time.monotonic()
        code, said = start_training(place, workdir).end()
        assert code == 0, said
    (place.whole.parent / "seconds").write_text(str(time.monotonic() - began))
    differing = differences(place.whole.with_name("first"), place.whole)
    assert not differing, f"two undisturbed runs differ in {differing}"


def finish_training(
    place: Place, workdir: Path, *more: Any, may_miss: bool = False
) -> list[str]:
    """Runs the same command without a fault, and says what went wrong or differs.

    Args:
        may_miss: for a job that went on after its log could not be written. Its line at
            the end of an epoch stands for those before; none is needed if the resumed
            run says that some are lost.
    """
    code, said = start_training(place, workdir, *more).end()
    if code:
        return [f"then code {code}: {said[-600:]}"]
    every = STEPS_PER_EPOCH if may_miss else 1
    if may_miss and "the records between are lost" in said:
        every = NUM_STEPS + 1
    differing = differences(place.whole, workdir, every=every)
    return [f"differs: {name}" for name in differing]


def complaints(workdir: Path, code: int, said: str, expected: str = "") -> list[str]:
    """What is wrong with the end of a job that met a fault: it must be one message,
    which says what is kept if a step had been done.

    A mistake (code 2) is the answer only to a directory that cannot be written.
    """
    wrong = []
    messages = [line for line in said.splitlines() if line.startswith("error: ")]
    may_be_mistake = "cannot be written" in said
    if code not in (1, 2) or (code == 2 and not may_be_mistake):
        wrong.append(f"code {code}")
    if len(messages) != 1:
        wrong.append(f"{len(messages)} messages")
    if last_step(workdir) and not re.search("kept|saved|same command", said):
        wrong.append("does not say what is kept")
    if expected not in said:
        wrong.append(f"does not say {expected!r}")
    if "Traceback" in said or "Exception ignored" in said:
        wrong.append("a traceback")
    return [f"{one}: {said[-600:]}" for one in wrong[:1]]
