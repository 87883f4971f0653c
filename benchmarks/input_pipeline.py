"""Images a second and core of the input pipeline, beside what people use today.

python benchmarks/input_pipeline.py --source FOLDER_WITH_OFFICIAL_TARS [--json FILE]

All contenders get the same encoded originals from memory and give 256x256 RGB, shorter
side scaled with antialiasing, centre crop: a PyTorch DataLoader with Pillow, tf.data,
and ours. Then ours reads what `prepare` has stored. They run in turns in this process;
a core is what the CPU clock of this process and its children says, so other jobs on the
machine matter little. torch and tensorflow are needed for their lines only.
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
"""A pass without end that yields how many images each step has given."""


def originals(source: Path) -> list[Original]:
    """All training images of the archives, encoded, in memory."""
    split = imagenet_tars.open_tars(source, None).splits["train"]
    return [split.read(index) for index in range(split.num_images)]


# --- ours -----------------------------------------------------------------------------


def decode_and_fit(encoded: list[bytes]) -> Iterator[int]:
    """The part of prepare that the others do too: decode, scale, crop."""
    parts = [encoded[i : i + 16] for i in range(0, len(encoded), 16)]

    def work(part: list[bytes]) -> int:
        out = np.empty((len(part), SIZE, SIZE, 3), np.uint8)
        for one, square in zip(part, out, strict=True):
            decoding.read_into(one, square)
        return len(part)

    workers = threads.count(None)
    yield from threads.in_order(
        work, forever(parts), workers=workers, depth=2 * workers, name="fit"
    )


def whole_preparation(found: list[Original]) -> Iterator[int]:
    """All of prepare but the file: encode, decode again, statistics, serialise."""
    names = sorted({f"class{one.label}" for one in found})
    serialize = tfds_records.serializer(tfds_records.image_features(names, SIZE))
    split = Split(
        len(found), lambda index: found[index]._replace(label=index % len(names))
    )
    chunks = np.array_split(np.arange(len(found)), len(found) // 16 or 1)

    def work(indices: np.ndarray) -> int:
        return conversion.convert(split, indices, Form(), serialize).num_originals

    workers = threads.count(None)
    yield from threads.in_order(
        work, forever(chunks), workers=workers, depth=2 * workers, name="prepare"
    )


def streaming(data_dir: Path, form: str, batch_size: int = BATCH) -> Iterator[int]:
    """What a training run does: shuffled batches on the device."""
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
    """Of this process and of all its children, the living ones too."""
    times = os.times()
    ours = times.user + times.system + times.children_user + times.children_system
    tick = os.sysconf("SC_CLK_TCK")
    for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError):
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ours += sum(map(int, fields[11:15])) / tick
    return ours


def rate(passes: Iterator[int], seconds: float) -> tuple[float, float]:
    """Images a second of CPU time, and of the clock on the wall."""
    done, began, cpu = 0, time.perf_counter(), cpu_seconds()
    while time.perf_counter() - began < seconds:
        done += next(passes)
    return done / (cpu_seconds() - cpu), done / (time.perf_counter() - began)


def measure(
    contenders: dict[str, Contender], seconds: float, repeats: int
) -> dict[str, tuple[float, float]]:
    """Medians over rounds in which each contender has its turn; one warms up."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, start in contenders.items():
            with contextlib.closing(start()) as passes:  # type: ignore[type-var]
                rate(passes, min(1.0, seconds))
                found[name].append(rate(passes, seconds))
    return {
        name: (
            descriptive.median(one[0] for one in rates),
            descriptive.median(one[1] for one in rates),
        )
        for name, rates in found.items()
    }


def psnr(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    """Of all images together, dB."""
    errors = [
        np.mean((x.astype(np.float64) - y) ** 2) for x, y in zip(a, b, strict=True)
    ]
    return float(10 * np.log10(255**2 / max(np.mean(errors), 1e-12)))


def quality_table(encoded: list[bytes]) -> list[dict[str, float | str]]:
    """Size and error of each way to store an image."""
    squares = [decoding.fit(decoding.decode(one), SIZE) for one in encoded]
    rows = []
    for quality in (85, 90, 95, 98):
        for subsampling in ("420", "444"):
            kept = [decoding.encode_jpeg(one, quality, subsampling) for one in squares]
            rows.append(
                {
                    "quality": quality,
                    "subsampling": subsampling,
                    "bytes": float(np.mean([len(one) for one in kept])),
                    "psnr": psnr([decoding.decode(one) for one in kept], squares),
                }
            )
    return rows


def resident_memory() -> int:
    """Anonymous memory of this process, MiB: without pages of files."""
    status = Path("/proc/self/status").read_text()
    line = next(one for one in status.splitlines() if one.startswith("RssAnon"))
    return int(line.split()[1]) // 1024


def memory(data_dir: Path, batches: int) -> dict[str, list[int]]:
    """MiB after every tenth of that many batches."""
    found = {}
    for form in ("records", "raw"):
        found[form] = []
        with contextlib.closing(streaming(data_dir, form)) as passes:  # type: ignore[type-var]
            for number in range(1, batches + 1):
                next(passes)
                if number % max(1, batches // 10) == 0:
                    found[form].append(resident_memory())
    return found


# --- report ---------------------------------------------------------------------------


def run(arguments: argparse.Namespace) -> dict:
    found = originals(arguments.source)
    encoded = [one.encoded for one in found]
    with tempfile.TemporaryDirectory() as folder:
        options = prepare.Options(
            source=str(arguments.source), data_dir=folder, raw=True
        )
        with contextlib.redirect_stdout(io.StringIO()):
            prepare.run(options)
        contenders: dict[str, Contender] = {
            **baselines.available(encoded, SIZE, BATCH),
            "ours, decode, scale, crop": lambda: decode_and_fit(encoded),
            "ours, the whole of prepare": lambda: whole_preparation(found),
            "ours, streaming jpeg": lambda: streaming(Path(folder), "records"),
            "ours, streaming raw": lambda: streaming(Path(folder), "raw"),
        }
        rates = measure(contenders, arguments.seconds, arguments.repeats)
        kept = memory(Path(folder), arguments.memory) if arguments.memory else {}
    return {
        "rates": rates,
        "psnr": qualities(encoded[:100]),
        "jpeg": quality_table(encoded[:100]),
        "memory": kept,
    }


def qualities(encoded: list[bytes]) -> dict[str, float]:
    """Agreement of the scaled images with one another and with Pillow's best filter."""
    squares = [np.ascontiguousarray(_square(decoding.decode(one))) for one in encoded]
    ours = [decoding.fit(one, SIZE) for one in squares]
    best, others = baselines.lanczos(squares, SIZE), baselines.scaled(squares, SIZE)
    found = {"ours - Lanczos": psnr(ours, best)}
    for name, one in others.items():
        found[f"{name} - Lanczos"] = psnr(one, best)
        found[f"ours - {name}"] = psnr(ours, one)
    return found


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
    print("\nstored JPEG   bytes an image   PSNR against what was encoded")
    for row in result["jpeg"]:
        print(
            f"{row['quality']} {row['subsampling']}        {row['bytes']:14.0f}   "
            f"{row['psnr']:.2f} dB"
        )
    for form, kept in result["memory"].items():
        print(f"\nanonymous memory while streaming {form}, MiB: {kept}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", type=Path, required=True, help="official tars")
    parser.add_argument("--seconds", type=float, default=4, help="of each turn")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", type=int, default=0, help="batches to stream")
    parser.add_argument("--json", type=Path, help="also writes the result there")
    arguments = parser.parse_args()
    result = run(arguments)
    show(result)
    if arguments.json:
        facts = conditions("input_pipeline.py") | {"rounds": arguments.repeats} | result
        arguments.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
