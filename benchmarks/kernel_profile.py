"""The time of a step by kernel, category and layer, from a trace of JAX's profiler.

On a GPU these are the kernels that ran in its streams. On CPU they are operations of
XLA, where a loop counts again what runs inside it; that form is to try the script.
"""

import collections
import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax

# The first that matches the name of kernel or operation.
CATEGORIES = {
    "communication": r"nccl|all-?reduce|all-?gather|reduce-scatter|permute",
    "pooling and windows": r"reduce[-_]?window|select[-_]and[-_]scatter|pool",
    "convolutions": r"conv(?!ert)|fprop|dgrad|wgrad",
    "matrix products": r"gemm|\bdot|dot_general|nvjet|cublas|matmul|cutlass",
    "random numbers": r"threefry|random|rng|shift_(left|right)|xor",
    "copies and layout": r"memcpy|memset|copy|transpose|concatenate|\bpad\b|stack",
    "reductions": r"reduce",
    "elementwise": r"fusion|loop|input|add|mul|sub|max|select|convert|broadcast",
}
# A fusion that ends with a convolution's operation prepares or finishes its maps.
_WITHIN_FUSIONS = ("pooling and windows", "random numbers", "reductions")
_LAYER = re.compile(r"/(conv[1-5]|fc[678])(?:/|$)")
_INSTRUCTION = re.compile(
    r'^\s*(?:ROOT )?%?([\w.\-]+) = [^\n]*metadata=\{[^\n}]*op_name="([^"]*)"', re.M
)


class Event(NamedTuple):
    """One run of a kernel."""

    kernel: str
    operation: str
    """The instruction of the compiled program; the kernel's name if it is not told."""
    start: float
    """Seconds, like its length."""
    length: float

    @property
    def end(self) -> float:
        return self.start + self.length


def trace(run: Callable[[int], None], steps: int) -> list[Event]:
    """The kernels of `steps` steps.

    Raises:
        ValueError: the trace names none; the message lists what it has.
    """
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            run(steps)
        (file,) = Path(folder).rglob("*.xplane.pb")
        data = jax.profiler.ProfileData.from_file(str(file))
        planes = list(data.planes)
        # Beside a GPU, threads of the CPU may tell which operations they start.
        devices = [plane for plane in planes if on_gpu(plane)] or planes
        events = [event for plane in devices for event in events_of(plane)]
        lines = [
            f"{plane.name}: {line.name}" for plane in planes for line in plane.lines
        ]
    if not events:
        raise ValueError(f"no kernel in the trace, which has the lines {lines}")
    return events


def on_gpu(plane: Any) -> bool:
    return plane.name.startswith("/device:GPU")


def events_of(plane: Any) -> Iterable[Event]:
    """Kernels of a GPU's streams, or operations of a CPU's threads."""
    for line in plane.lines:
        # The other lines of a GPU tell the same time again, by module, step or scope.
        if on_gpu(plane) and not line.name.startswith("Stream"):
            continue
        for event in line.events:
            operation = next((v for k, v in event.stats if k == "hlo_op"), None)
            if on_gpu(plane) or operation:
                start, length = event.start_ns / 1e9, event.duration_ns / 1e9
                yield Event(event.name, str(operation or event.name), start, length)


def scopes(program: str) -> dict[str, str]:
    """Where each instruction of a compiled program comes from: "jit(step)/conv1/add".

    Args:
        program: the text of a compiled program.
    """
    return {_plain(name): scope for name, scope in _INSTRUCTION.findall(program)}


def _plain(name: str) -> str:
    """Kernels are named like their instruction, with other punctuation."""
    return re.sub(r"[.\-]", "_", name)


def category(event: Event, scope: str) -> str:
    """The category of a kernel by its name. The name of a fusion can say little; then
    the last part of its scope, the operation it ends with, may tell more."""
    named = _first_match(f"{event.kernel} {event.operation}")
    if named not in ("elementwise", "other"):
        return named
    told = _first_match(scope.rsplit("/", 1)[-1])
    return told if told in _WITHIN_FUSIONS else named


def _first_match(words: str) -> str:
    found = (
        name for name, form in CATEGORIES.items() if re.search(form, words.lower())
    )
    return next(found, "other")


def layer(scope: str) -> str:
    """The layer whose products or biases a scope is in. Normalisation, activation and
    pooling have scopes that name no layer."""
    found = _LAYER.search(scope)
    return found.group(1) if found else "outside the products"


def busy_seconds(events: list[Event]) -> float:
    """Time in which at least one kernel runs."""
    total, until = 0.0, float("-inf")
    for event in sorted(events, key=lambda event: event.start):
        total += max(0.0, event.end - max(event.start, until))
        until = max(until, event.end)
    return total


def summary(events: list[Event], program: str, steps: int, top: int) -> dict[str, Any]:
    """Milliseconds per step and shares: by kernel (the `top` longest), category, layer.

    Args:
        program: the text of the compiled program that ran.
    """
    known = scopes(program)
    found = [known.get(_plain(event.operation), "") for event in events]
    pairs = list(zip(events, found, strict=True))
    span = max(event.end for event in events) - min(event.start for event in events)
    kernels = _shares(((event.kernel, event) for event in events), steps)
    return {
        "steps": steps,
        "milliseconds_per_step": 1e3 * span / steps,
        "busy_share": busy_seconds(events) / span,
        "kernels_per_step": len(events) / steps,
        "kernels_of_known_origin": sum(map(bool, found)) / len(events),
        "categories": _shares(((category(e, scope), e) for e, scope in pairs), steps),
        "layers": _shares(((layer(scope), e) for e, scope in pairs), steps),
        "kernels": kernels[:top],
    }


def _shares(named: Iterable[tuple[str, Event]], steps: int) -> list[dict[str, Any]]:
    """The time of each name, longest first; shares are of the time of all kernels."""
    seconds: dict[str, float] = collections.defaultdict(float)
    runs: collections.Counter[str] = collections.Counter()
    for name, event in named:
        seconds[name] += event.length
        runs[name] += 1
    total = sum(seconds.values())
    return [
        {
            "name": name,
            "milliseconds": 1e3 * seconds[name] / steps,
            "share": seconds[name] / total,
            "runs": runs[name] / steps,
        }
        for name in sorted(seconds, key=lambda name: -seconds[name])
    ]
