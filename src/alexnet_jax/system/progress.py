"""Progress of training and of passes over images, on the terminal."""

import sys
import time
from typing import Any, TextIO

from tqdm import tqdm

from alexnet_jax.system.streams import outlived, print_line

_SECONDS_BETWEEN_LINES = 10  # where there is no terminal


class Progress:
    """Progress of a run: a bar on a terminal, plain lines elsewhere.

    The remaining time is computed from the end of the first step of this process, since
    that step includes compilation.
    """

    def __init__(
        self,
        num_steps: int,
        first_step: int,
        steps_per_epoch: float,
        stream: TextIO | None = None,
    ) -> None:
        self._num_steps = num_steps
        self._steps_per_epoch = steps_per_epoch
        self._stream = stream or sys.stdout
        self._clock: tuple[int, float] | None = None
        self._bar = None
        if self._stream.isatty():
            self._bar = tqdm(
                total=num_steps,
                initial=first_step,
                unit="step",
                file=self._stream,
                dynamic_ncols=True,
                leave=False,
            )

    def first_step_done(self, step: int) -> None:
        """Starts the clock of the remaining time, and that of the bar."""
        self._clock = (step, time.perf_counter())
        if self._bar is not None:
            self._bar.unpause()

    def train(self, record: dict[str, Any]) -> None:
        """Shows a record of training steps."""
        numbers = (
            f"epoch {record['epoch']:.2f}  loss {record['loss']:.4f}  "
            f"top-1 error {record['top1_error']:.1%}  "
            f"rate {record['learning_rate']:.3g}  "
            f"{record['images_per_second']:.0f} images/s  "
            f"data wait {record['data_wait_fraction']:.0%}"
        )
        if self._bar is not None:
            with outlived(self._stream):
                self._bar.set_postfix_str(numbers, refresh=False)
                self._bar.update(record["step"] - self._bar.n)
            return
        remaining = self._remaining(record["step"])
        self.note(
            f"step {record['step']}/{self._num_steps}  {numbers}  eta {remaining}"
        )

    def evaluation(self, record: dict[str, Any]) -> None:
        """Shows the record of an evaluation."""
        self.note(
            f"epoch {record['epoch']:.2f}: test loss {record['loss']:.4f}  "
            f"top-1 error {record['top1_error']:.2%}  "
            f"top-5 error {record['top5_error']:.2%}  ({record['examples']} images)"
        )

    def note(self, text: str) -> None:
        """Prints a line, above the bar if there is one."""
        if self._bar is not None:
            with outlived(self._stream):
                self._bar.write(text, file=self._stream)
        else:
            print_line(text, self._stream)

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
