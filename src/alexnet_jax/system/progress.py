"""Progress of training and of passes over images, on the terminal."""

import math
import sys
import time
from typing import Any, TextIO

from tqdm import tqdm

from alexnet_jax.system.streams import outlived, print_line

_SECONDS_BETWEEN_LINES = 10  # where there is no terminal
_WIDTH = 51  # of the numbers beside the bar, so that its length does not jump


class Progress:
    """Progress of a run: a bar on a terminal, plain lines elsewhere.

    The bar fits 80 columns and moves with each step. Plain lines of one kind are at
    least 10 seconds apart; `metrics.jsonl` has every record. The remaining time is
    computed from the end of the first step of this process, since that step includes
    compilation.
    """

    def __init__(
        self,
        num_steps: int,
        first_step: int,
        steps_per_epoch: float,
        split: str,
        stream: TextIO | None = None,
    ) -> None:
        """`split` is the name of the one that is evaluated."""
        self._num_steps = num_steps
        self._steps_per_epoch = steps_per_epoch
        self._split = split
        self._stream = stream or sys.stdout
        self._clock: tuple[int, float] | None = None
        self._numbers = "compiling"  # loss, error, speed and time left
        self._last_line: dict[str, float] = {}
        self._bar = None
        if self._stream.isatty():
            self._bar = tqdm(
                total=num_steps,
                initial=first_step,
                desc=self._epoch(first_step),
                postfix=["compiling".ljust(_WIDTH)],  # pyright: ignore[reportArgumentType]
                file=self._stream,
                bar_format="{desc} |{bar}| {postfix[0]}",
                dynamic_ncols=True,
                leave=False,
            )

    def first_step_done(self, step: int) -> None:
        """Starts the clock of the remaining time."""
        self._clock = (step, time.perf_counter())
        self._numbers = ""

    def step(self, step: int) -> None:
        """Moves the bar to a step that has been dispatched."""
        if self._bar is not None:
            self._move(step)

    def train(self, record: dict[str, Any]) -> None:
        """Shows a record of training steps."""
        loss = f"loss {record['loss']:.4f}"
        speed = f"{record['images_per_second']:.0f} images/s"
        left = f"{self._remaining(record['step'])} left"
        error = record["top1_error"]
        if self._bar is not None:
            self._numbers = f"{loss}  error {error:.1%}  {speed}  {left}"
            self._move(self._bar.n)
        elif self._is_due("train"):
            self.note(
                f"step {record['step']}/{self._num_steps}  epoch {record['epoch']:.2f}"
                f"  {loss}  top-1 error {error:.1%}  "
                f"rate {record['learning_rate']:.3g}  {speed}  "
                f"data wait {record['data_wait_fraction']:.0%}  {left}"
            )

    def evaluation_begins(self) -> None:
        """Says so in the bar, which stands still meanwhile."""
        if self._bar is not None:
            with outlived(self._stream):
                self._bar.postfix = ["evaluating".ljust(_WIDTH)]
                self._bar.refresh()

    def evaluation(self, record: dict[str, Any]) -> None:
        """Shows the record of an evaluation."""
        if self._bar is None and not self._is_due("eval"):
            return
        self.note(
            f"epoch {record['epoch']:.2f}: {self._split} loss {record['loss']:.4f}, "
            f"{error_text(record)}"
        )

    def note(self, text: str) -> None:
        """Prints a line, above the bar if there is one."""
        if self._bar is not None:
            with outlived(self._stream):
                self._bar.write(text, file=self._stream)
        else:
            print_line(text, self._stream)

    def _move(self, step: int) -> None:
        bar: Any = self._bar
        with outlived(self._stream):
            bar.set_description_str(self._epoch(step), refresh=False)
            bar.postfix = [self._numbers.ljust(_WIDTH)]
            bar.update(step - bar.n)

    def _epoch(self, step: int) -> str:
        whole = self._num_steps / self._steps_per_epoch
        return f"epoch {step / self._steps_per_epoch:.1f}/{whole:.0f}"

    def _is_due(self, kind: str) -> bool:
        now = time.perf_counter()
        last = self._last_line.get(kind, -math.inf)
        if now - last < _SECONDS_BETWEEN_LINES:
            return False
        self._last_line[kind] = now
        return True

    def _remaining(self, step: int) -> str:
        if self._clock is None or step <= self._clock[0]:
            return "?"
        elapsed = time.perf_counter() - self._clock[1]
        left = (self._num_steps - step) * elapsed / (step - self._clock[0])
        return format_duration(left)

    def close(self) -> None:
        if self._bar is not None:
            with outlived(self._stream):
                self._bar.close()


def error_text(evaluation: dict[str, Any]) -> str:
    """The errors of an evaluation in words. `top5_error` is absent for networks of five
    classes or fewer, where it is 0 by definition."""
    text = f"top-1 error {evaluation['top1_error']:.2%}"
    if "top5_error" in evaluation:
        text += f", top-5 error {evaluation['top5_error']:.2%}"
    return text


class ImageCounter:
    """Progress of a pass over images: a bar on a terminal, plain lines elsewhere.

    Args:
        done: number of images that an earlier run has already processed.
    """

    def __init__(self, what: str, num_images: int, done: int = 0) -> None:
        self._what, self._num_images = what, num_images
        self._done, self._first = done, done
        self._start = self._last_line = time.perf_counter()
        self._bar = None
        if sys.stdout.isatty():
            self._bar = tqdm(
                total=num_images,
                initial=done,
                desc=what,
                unit=" images",
                file=sys.stdout,
                dynamic_ncols=True,
            )

    def add(self, images: int) -> None:
        self._done += images
        if self._bar is not None:
            self._bar.update(images)
        elif time.perf_counter() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._line()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._done > self._first:
            self._line()

    def _line(self) -> None:
        self._last_line = time.perf_counter()
        rate = (self._done - self._first) / (self._last_line - self._start)
        left = format_duration((self._num_images - self._done) / rate)
        print_line(
            f"{self._what}: {self._done:,} of {self._num_images:,} images  "
            f"{rate:.0f} images/s  eta {left}",
            sys.stdout,
        )


def format_duration(seconds: float) -> str:
    """Formats a duration as "45s", "3m20s", "5h12m" or "4d03h"."""
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02d}h"
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{whole:02d}s" if minutes else f"{whole}s"
