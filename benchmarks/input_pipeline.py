"""Images per second and core of the input pipeline, compared with PyTorch and tf.data.

python -m benchmarks.input_pipeline --source FOLDER_WITH_OFFICIAL_TARS [--json FILE]

All contenders get the same encoded originals from memory and produce 256x256 RGB,
shorter side scaled with antialiasing, centre crop: a PyTorch DataLoader with Pillow,
tf.data, and ours. Ours also reads the dataset that `prepare` writes. They run in turns
in this process. Core time is the CPU time of this process and its children, so other
jobs on the machine matter little. torch and tensorflow are optional.
"""

import argparse
import contextlib
import io
import json
import os
import statistics as descriptive
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import baselines
import jax
import numpy as np
from conditions import conditions

from alexnet_jax import columns, prepare
from alexnet_jax.config import DataConfig, MeshConfig
from alexnet_jax.data import decoding, loader, tfds_records
from alexnet_jax.data.source import open_source
from alexnet_jax.preparation import conversion, imagenet_tars
from alexnet_jax.preparation.source_images import Form, Original, Split
from alexnet_jax.system import threads

SIZE, BATCH = 256, 64
NAME = f"imagenet2012_{SIZE}"
Contender = Callable[[], Iterator[int]]
"""An endless pass that yields the number of images of each step."""


def originals(source: Path) -> list[Original]:
    """All training images of the archives, still encoded."""
    split = imagenet_tars.open_tars(source, None).splits["train"]
    return [split.read(index) for index in range(split.num_images)]


# --- ours -----------------------------------------------------------------------------


def decode_and_fit(encoded: list[bytes]) -> Iterator[int]:
    """The part of `prepare` that the others do too: decode, scale, crop."""
    parts = [encoded[i : i + 16] for i in range(0, len(encoded), 16)]

    def work(part: list[bytes]) -> int:
        out = np.empty((len(part), SIZE, SIZE, 3), np.uint8)
        for image, square in zip(part, out, strict=True):
            decoding.read_into(image, square)
        return len(part)

    workers = threads.count(None)
    yield from threads.in_order(
        work, forever(parts), workers=workers, depth=2 * workers, name="fit"
    )


def whole_preparation(images: list[Original]) -> Iterator[int]:
    """All of `prepare` but the file: encode, decode again, statistics, serialise."""
    names = sorted({f"class{image.label}" for image in images})
    features = tfds_records.image_features(
        names, (SIZE, SIZE, 3), encoding="jpeg", key="file_name"
    )
    serialize = tfds_records.serializer(features)
    split = Split(
        len(images), lambda index: images[index]._replace(label=index % len(names))
    )
    chunks = np.array_split(np.arange(len(images)), len(images) // 16 or 1)

    def work(indices: np.ndarray) -> int:
        return conversion.convert(split, indices, Form(), serialize).num_originals

    workers = threads.count(None)
    yield from threads.in_order(
        work, forever(chunks), workers=workers, depth=2 * workers, name="prepare"
    )


def streaming(data_dir: Path, form: str, batch_size: int = BATCH) -> Iterator[int]:
    """The input of a training run: shuffled batches on the device."""
    settings = DataConfig(
        name=NAME,
        data_dir=str(data_dir),
        image_size=SIZE,
        stored=form,  # type: ignore[arg-type]
    )
    mesh = columns.make_mesh(MeshConfig(data=1, column=1), 2, jax.devices())
    batches = loader.train_batches(
        open_source(settings, "train"),
        seed=0,
        batch_size=batch_size,
        start_step=0,
        sharding=columns.batch_sharding(mesh),
        num_workers=None,
    )
    with contextlib.closing(batches):
        for batch in batches:
            yield len(batch["label"])


def forever(items: list) -> Iterator:
    while True:
        yield from items


# --- measuring ------------------------------------------------------------------------


def cpu_seconds() -> float:
    """CPU time of this process and all its children, finished or running."""
    times = os.times()
    ours = times.user + times.system + times.children_user + times.children_system
    tick = os.sysconf("SC_CLK_TCK")
    for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError):
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ours += sum(map(int, fields[11:15])) / tick
    return ours


def rate(passes: Iterator[int], seconds: float) -> tuple[float, float]:
    """Images per second of CPU time, and of wall time."""
    done, began, cpu = 0, time.perf_counter(), cpu_seconds()
    while time.perf_counter() - began < seconds:
        done += next(passes)
    return done / (cpu_seconds() - cpu), done / (time.perf_counter() - began)


def measure(
    contenders: dict[str, Contender], seconds: float, repeats: int
) -> dict[str, tuple[float, float]]:
    """Medians over rounds in which each contender has a turn, after a warm-up."""
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, start in contenders.items():
            with contextlib.closing(start()) as passes:  # type: ignore[type-var]
                rate(passes, min(1.0, seconds))
                rates[name].append(rate(passes, seconds))
    return {
        name: (
            descriptive.median(cpu for cpu, _ in pairs),
            descriptive.median(wall for _, wall in pairs),
        )
        for name, pairs in rates.items()
    }


def psnr(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    """Peak signal-to-noise ratio over all images together, dB."""
    errors = [
        np.mean((x.astype(np.float64) - y) ** 2) for x, y in zip(a, b, strict=True)
    ]
    return float(10 * np.log10(255**2 / max(np.mean(errors), 1e-12)))


def quality_table(encoded: list[bytes]) -> list[dict[str, float | str]]:
    """Size and error of each way to store an image."""
    squares = [decoding.fit(decoding.decode(image), SIZE) for image in encoded]
    rows = []
    for quality in (85, 90, 95, 98):
        for subsampling in ("420", "444"):
            stored = [
                decoding.encode_jpeg(square, quality, subsampling) for square in squares
            ]
            rows.append(
                {
                    "quality": quality,
                    "subsampling": subsampling,
                    "bytes": float(np.mean([len(image) for image in stored])),
                    "psnr": psnr([decoding.decode(image) for image in stored], squares),
                }
            )
    return rows


def resident_memory() -> int:
    """Anonymous memory of this process, MiB, without pages of files."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) // 1024


def memory(data_dir: Path, batches: int) -> dict[str, list[int]]:
    """MiB after every tenth of the batches, for each stored form."""
    readings = {}
    for form in ("records", "raw"):
        readings[form] = []
        with contextlib.closing(streaming(data_dir, form)) as passes:  # type: ignore[type-var]
            for number in range(1, batches + 1):
                next(passes)
                if number % max(1, batches // 10) == 0:
                    readings[form].append(resident_memory())
    return readings


# --- report ---------------------------------------------------------------------------


def run(arguments: argparse.Namespace) -> dict:
    images = originals(arguments.source)
    encoded = [image.encoded for image in images]
    with tempfile.TemporaryDirectory() as folder:
        options = prepare.Options(
            source=str(arguments.source), data_dir=folder, raw=True
        )
        with contextlib.redirect_stdout(io.StringIO()):
            prepare.run(options)
        contenders: dict[str, Contender] = {
            **baselines.available(encoded, SIZE, BATCH),
            "ours, decode, scale, crop": lambda: decode_and_fit(encoded),
            "ours, the whole of prepare": lambda: whole_preparation(images),
            "ours, streaming jpeg": lambda: streaming(Path(folder), "records"),
            "ours, streaming raw": lambda: streaming(Path(folder), "raw"),
        }
        rates = measure(contenders, arguments.seconds, arguments.repeats)
        readings = memory(Path(folder), arguments.memory) if arguments.memory else {}
    return {
        "rates": rates,
        "psnr": qualities(encoded[:100]),
        "jpeg": quality_table(encoded[:100]),
        "memory": readings,
    }


def qualities(encoded: list[bytes]) -> dict[str, float]:
    """Agreement of the scaled images with each other and with Pillow's best filter."""
    squares = [
        np.ascontiguousarray(_square(decoding.decode(image))) for image in encoded
    ]
    ours = [decoding.fit(square, SIZE) for square in squares]
    best, others = baselines.lanczos(squares, SIZE), baselines.scaled(squares, SIZE)
    agreement = {"ours - Lanczos": psnr(ours, best)}
    for name, images in others.items():
        agreement[f"{name} - Lanczos"] = psnr(images, best)
        agreement[f"ours - {name}"] = psnr(ours, images)
    return agreement


def _square(image: np.ndarray) -> np.ndarray:
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def show(result: dict) -> None:
    rates = result["rates"]
    others = [rates[name][0] for name in rates if not name.startswith("ours")]
    best = max(others) if others else None
    print(f"{'':42} images/s per core   wall images/s   ratio to the better other")
    for name, (cpu, wall) in rates.items():
        ratio = f"{cpu / best:.2f}" if best else "-"
        print(f"{name:42} {cpu:17.0f} {wall:15.0f} {ratio:>27}")
    print("\nagreement of the outputs, PSNR")
    for name, value in result["psnr"].items():
        print(f"{name:42} {value:.2f} dB")
    print("\nstored JPEG   bytes per image  PSNR against the encoded pixels")
    for row in result["jpeg"]:
        print(
            f"{row['quality']} {row['subsampling']}        {row['bytes']:14.0f}   "
            f"{row['psnr']:.2f} dB"
        )
    for form, readings in result["memory"].items():
        print(f"\nanonymous memory while streaming {form}, MiB: {readings}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", type=Path, required=True, help="official tars")
    parser.add_argument("--seconds", type=float, default=4, help="per turn")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", type=int, default=0, help="batches to stream")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    result = run(arguments)
    show(result)
    if arguments.json:
        facts = conditions("input_pipeline.py") | {"rounds": arguments.repeats} | result
        arguments.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
