"""benchmarks/accelerator.py: its small form on CPU, and how it reads a profile.

Its timings are not tests.
"""

import json
import os
import subprocess
import sys

import accelerator
import accelerator_summary
import kernel_profile
import pytest
from accelerator import REPOSITORY
from kernel_profile import Event

PARTS = {"steps", "torch", "roofline", "profile", "pipeline", "epochs"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs the small form; its programs need not be fast, only compiled fast."""
    folder = tmp_path_factory.mktemp("accelerator")
    environment = os.environ | {
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        "JAX_COMPILATION_CACHE_DIR": str(folder / "programs"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }

    def run(*options, out):
        command = [sys.executable, "-m", "benchmarks.accelerator", "--smoke"]
        command += ["--out", str(out), *options]
        return subprocess.run(
            command,
            cwd=REPOSITORY,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    return run


@pytest.fixture(scope="module")
def results(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    run("--minutes", "60", out=folder)
    return folder


def rows(folder, part):
    return json.loads((folder / f"{part}.json").read_text())["rows"]


def test_every_part_has_a_result_or_says_why_not(results):
    assert {file.stem for file in results.glob("*.json")} == PARTS
    for part in PARTS:
        for key, row in rows(results, part).items():
            assert "error" not in row, f"{part} {key}: {row}"
    assert set(rows(results, "steps")) == {"float32 8", "bfloat16 8"}
    (torch,) = rows(results, "torch").values()
    assert "skipped" in torch or not torch["failed"]
    summary = (results / "summary.md").read_text()
    assert all(f"## {part}\n" in summary for part in PARTS)
    assert "Left out for lack of time: nothing." in summary


def test_the_same_command_again_measures_nothing(results, run):
    before = {file: file.read_bytes() for file in results.iterdir() if file.is_file()}
    assert run(out=results) == "left out for lack of time: nothing\n"
    assert {f: f.read_bytes() for f in results.iterdir() if f.is_file()} == before


def test_what_does_not_fit_is_named(run, tmp_path):
    told = run("--minutes", "0", out=tmp_path)
    names = [measurement.name for measurement in accelerator.plan(smoke=True)]
    assert told == f"left out for lack of time: {', '.join(names)}\n"
    assert [file.name for file in tmp_path.iterdir()] == ["summary.md"]


def test_a_process_that_dies_is_a_result(tmp_path, monkeypatch):
    parser = accelerator.argparse.ArgumentParser()
    accelerator.add_options(parser)
    arguments = parser.parse_args(["--out", str(tmp_path)])
    dies = [sys.executable, "-c", "import os; os.abort()"]
    monkeypatch.setattr(accelerator, "command", lambda *_: dies)
    row = accelerator.measured(accelerator.plan(True)[0], arguments, seconds=60)
    assert row is not None and "code -6" in row["error"]


def test_roofline_of_digits_by_hand(results):
    conv1 = 24**2 * 5**2 * 3 * 16
    forward = conv1 + 12**2 * 5**2 * 8 * 32
    forward += 6**2 * 3**2 * (32 * 48 + 24 * 48 + 24 * 32)
    forward += 3**2 * 32 * 128 + 128 * 128 + 128 * 10
    (row,) = rows(results, "roofline").values()
    layers = row["layers"]
    # Forward, and gradients for kernel and input; conv1's input needs none.
    total = sum(layer["multiply_adds"] for layer in layers)
    assert total == 8 * (3 * forward - conv1)
    floors = [layer["floor_seconds"] for layer in layers]
    assert row["floor_seconds"] == pytest.approx(sum(floors))
    for layer in layers:
        compute = layer["multiply_adds"] / row["peak_multiply_adds_per_second"]
        memory = layer["bytes"] / row["copy_bytes_per_second"]
        assert layer["floor_seconds"] == max(compute, memory)
        assert layer["limited_by"] == ("products" if compute > memory else "memory")


def test_profile_accounts_for_all_of_its_time(results):
    (row,) = rows(results, "profile").values()
    for name in ("categories", "layers"):
        assert sum(entry["share"] for entry in row[name]) == pytest.approx(1)
    assert {"conv1", "conv5", "fc6", "fc8"} <= {
        entry["name"] for entry in row["layers"]
    }
    assert {"convolutions", "pooling and windows"} <= {
        entry["name"] for entry in row["categories"]
    }
    assert len(row["kernels"]) == 30
    assert 0 < row["busy_share"] <= 1


def test_hours_by_hand():
    """1,000 images/s: 1,281 s per epoch, and 50 s of evaluation, 90 times."""
    steps = {
        "float32 128": {
            kind: {"images_per_second": {"median": 1000.0}}
            for kind in ("train", "eval")
        },
        "float32 2048": {"error": "out of memory"},
    }
    pipeline = {
        "float32 128": {"forms": {"raw": {"pipeline_images_per_second": 500.0}}}
    }
    hours = accelerator_summary.epochs_of(steps, pipeline)
    expected = 90 * (1281.167 + 50) / 3600
    assert hours == {
        "float32 128": {
            "hours_of_steps": pytest.approx(expected),
            "hours_with_raw": pytest.approx(2 * expected),
        }
    }


def event(kernel, operation="", start=0.0, end=1.0):
    return Event(kernel, operation or kernel, start, end - start)


@pytest.mark.parametrize(
    "kernel, operation, scope, category",
    [
        ("sm90_xmma_fprop_implicit_gemm_bf16", "cudnn-conv.1", "", "convolutions"),
        ("nvjet_hsh_128x256", "cublas-gemm.2", "", "matrix products"),
        ("loop_convert_fusion_3", "", "jit(f)/convert_element_type", "elementwise"),
        ("loop_select_fusion", "", "jit(f)/select_and_scatter", "pooling and windows"),
        ("loop_xor_fusion", "", "", "random numbers"),
        ("input_reduce_fusion", "", "", "reductions"),
        ("loop_add_fusion", "", "jit(f)/conv1/conv_general_dilated", "elementwise"),
        ("MemcpyD2D", "copy.3", "", "copies and layout"),
        ("ncclDevKernel_AllReduce", "all-reduce-start", "", "communication"),
        ("mystery", "", "", "other"),
    ],
)
def test_categories(kernel, operation, scope, category):
    assert kernel_profile.category(event(kernel, operation), scope) == category


def test_kernels_find_their_layer():
    program = """
      %cudnn-conv.5 = (bf16[8]{0}, u8[0]{0}) custom-call(%a), metadata={op_name="jit(f)/A/conv2/conv_general_dilated" stack_frame_id=7}
      ROOT %loop_add_fusion.3 = f32[8]{0} fusion(%b), kind=kLoop, metadata={op_type="add" op_name="jit(f)/A/fc6/add"}
    """  # noqa: E501
    events = [
        event("sm90_xmma", "cudnn-conv.5", 0, 3),
        event("loop_add_fusion_3", start=4, end=5),
        event("unknown", start=5, end=6),
    ]
    row = kernel_profile.summary(events, program, steps=2, top=1)
    layers = {entry["name"]: entry["share"] for entry in row["layers"]}
    assert layers == {"conv2": 0.6, "fc6": 0.2, "outside the products": 0.2}
    assert row["kernels"] == [
        {"name": "sm90_xmma", "milliseconds": 1500.0, "share": 0.6, "runs": 0.5}
    ]
    assert row["busy_share"] == pytest.approx(5 / 6)
    assert row["kernels_of_known_origin"] == pytest.approx(2 / 3)


def test_busy_time_counts_overlap_once():
    events = [event("a", start=0, end=4), event("b", start=1, end=2)]
    events += [event("c", start=3, end=6)]
    assert kernel_profile.busy_seconds(events) == 6
