"""Numbers of the network of 2012 that need no training: sizes, start, bytes sent."""

import functools
import io
import json
import math
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax.config import CONV_LAYERS, Config
from alexnet_jax.presets import ALEXNET2012
from alexnet_jax.system import atomic_files, provenance

CLAIM = "known answers"  # of their record
ROOT = Path(__file__).parents[1]
TAR = "ILSVRC2012_img_train.tar"


@dataclass(frozen=True, kw_only=True)
class KnownAnswer:
    """A number that the program must give on every machine."""

    name: str
    text: str
    paper: str = ""
    authors: str = ""
    low: float
    high: float
    """Ours is asked to lie between `low` and `high`, both included."""
    compute: Callable[..., float]
    needs_images: bool = False
    """Takes a folder with ILSVRC-2012's training images as its argument."""

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    def asked(self) -> str:
        if self.low == self.high:
            return f"{self.low:,}"
        return f"{self.low:g} to {self.high:g}"


@functools.cache
def _shapes(config: Config = ALEXNET2012) -> dict[str, dict[str, tuple[int, ...]]]:
    from alexnet_jax.weights import parameter_shapes

    return parameter_shapes.shapes(config)


def parameters(config: Config = ALEXNET2012) -> int:
    shapes = _shapes(config).values()
    return sum(math.prod(shape) for kinds in shapes for shape in kinds.values())


def _positions(layer: str) -> int:
    """Places where a layer's kernels are applied: the pixels of its maps, or one."""
    from alexnet_jax import config_checks

    if layer not in CONV_LAYERS:
        return 1
    size = ALEXNET2012.augment.crop_size
    return config_checks.map_sizes(ALEXNET2012.model, size)[layer][0] ** 2


def multiply_adds() -> int:
    """Of one image, forward."""
    return sum(
        _positions(layer) * math.prod(kinds["kernel"])
        for layer, kinds in _shapes().items()
    )


def units() -> int:
    """Outputs of the eight layers, before pooling."""
    return sum(
        _positions(layer) * math.prod(kinds["bias"])
        for layer, kinds in _shapes().items()
    )


def first_images(folder: Path, number: int = 64) -> np.ndarray:
    """The first training images in the tar of ILSVRC-2012: uint8 [number, 256, 256, 3].

    Raises:
        ValueError: the tar has fewer.
    """
    from alexnet_jax.data import decoding

    found: list[np.ndarray] = []
    with tarfile.open(folder / TAR) as outer:
        for member in outer:
            with tarfile.open(fileobj=io.BytesIO(_content(outer, member))) as synset:
                found += [
                    decoding.fit(decoding.decode(_content(synset, file)), 256)
                    for file in synset
                ]
            if len(found) >= number:
                return np.stack(found[:number])
    raise ValueError(f"{folder / TAR} has only {len(found)} images")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file else b""


@functools.cache
def start(folder: Path) -> tuple[float, float]:
    """First loss with dropout, and the standard deviation of the logits between images,
    with the 2012 initial values, pixels on 0-255 and random labels."""
    import jax
    import jax.numpy as jnp

    from alexnet_jax import augment, train_step
    from alexnet_jax.model import AlexNet

    batch, config = first_images(folder), ALEXNET2012
    label = jnp.asarray(np.random.default_rng(0).integers(0, 1000, 64), jnp.int32)
    view = augment.center_view(
        jnp.asarray(batch),
        jnp.asarray(batch.mean(axis=0, dtype=np.float32)),
        config.augment,
    )
    net = AlexNet(config.model)
    init = jax.jit(lambda key: net.init(key, view[:1], train=False))
    params = init(jax.random.key(0))["params"]
    loss, _ = train_step.loss_fn(params, view, label, jax.random.key(1), config=config)
    tested: Any = net.apply({"params": params}, view, train=False)
    return float(loss), float(jnp.mean(jnp.std(tested, axis=0)))


def bytes_between_columns() -> float:
    """Bytes that a device of two sends per step, over the least that the layers need.

    In a process of its own, which has two devices.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "communication.json"
        program = ["-m", "benchmarks.communication", "--mesh", "1x2", "--json"]
        command = [sys.executable, *program, str(file)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        return json.loads(file.read_text())["rows"][0]["ratio"]


def _exact(name: str, text: str, paper: str, value: int, compute: Any) -> KnownAnswer:
    return KnownAnswer(
        name=name, text=text, paper=paper, low=value, high=value, compute=compute
    )


ANSWERS = (
    _exact("parameters", "parameters", "60 million", 60_965_224, parameters),
    _exact(
        "multiply_adds",
        "multiply-adds per image, forward",
        "",
        724_406_816,
        multiply_adds,
    ),
    _exact("units", "units of the eight layers", "650,000", 659_272, units),
    KnownAnswer(
        name="first_loss",
        text="first loss, with dropout",
        authors="7.16 (cuda-convnet2)",
        low=7.07,
        high=7.27,
        compute=lambda folder: start(folder)[0],
        needs_images=True,
    ),
    KnownAnswer(
        name="spread_of_logits",
        text="spread of the logits between images at the start",
        low=0.042,
        high=0.062,
        compute=lambda folder: start(folder)[1],
        needs_images=True,
    ),
    KnownAnswer(
        name="bytes_between_columns",
        text="bytes between the columns over the least",
        low=1,
        high=1.05,
        compute=bytes_between_columns,
    ),
)


def values(
    answers: Sequence[KnownAnswer], images: Path | None, file: Path
) -> dict[str, float]:
    """The answers by name, without those that need images where there are none.

    Args:
        images: folder with ILSVRC-2012's training images.
        file: the record of what has been computed; what the same commit has computed
            is read from there.
    """
    if not answers:
        return {}
    source = provenance.of_result()
    is_exact = source["commit"] is not None and not source["commit"].endswith("+")
    old = atomic_files.read_json(file) if is_exact and file.exists() else {}
    found = old["values"] if old and old["commit"] == source["commit"] else {}
    for answer in answers:
        if answer.name not in found and not answer.needs_images:
            found[answer.name] = answer.compute()
        elif answer.name not in found and images is not None:
            found[answer.name] = answer.compute(images)
    command = "python -m experiments.reproduce --imagenet FOLDER"
    what = {"claim": CLAIM, "command": command, "seed": 0, "minutes": None}
    atomic_files.write_json(file, {**what, **source, "values": found})
    return found
