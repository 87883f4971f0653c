"""benchmarks: what they count, against counts by hand. Their timings are not tests."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import communication
import program_text
import pytest
import roofline
import scaling

from alexnet_jax import presets

BENCHMARKS = Path(communication.__file__).parent


@pytest.mark.parametrize(
    "line, kind, group, sent",
    [
        (
            "%g = f32[8,256]{1,0} all-gather(%x), replica_groups={{0,1},{2,3}}, "
            "dimensions={1}",
            "all-gather",
            2,
            8 * 256 * 4 // 2,
        ),
        (
            "%g = (f32[64]{0}, bf16[64]{0}) all-reduce(%x, %y), "
            "replica_groups=[2,4]<=[8], to_apply=%add",
            "all-reduce",
            4,
            2 * (64 * 4 + 64 * 2) * 3 // 4,
        ),
        (
            "%g = (bf16[8,128]{1,0}, bf16[8,256]{1,0}) all-gather-start(%x), "
            "replica_groups={{0,1}}, dimensions={1}",
            "all-gather",
            2,
            8 * 256 * 2 // 2,
        ),
        (
            "%g = f32[8]{0} collective-permute(%x), source_target_pairs={{0,1},{1,0}}",
            "collective-permute",
            2,
            8 * 4,
        ),
        (
            "%g = u8[10]{0} reduce-scatter-start(%x), "
            "replica_groups=mesh['data'=2,'column'=2] {'column'}",
            "reduce-scatter",
            2,
            10,
        ),
    ],
)
def test_collectives_of_a_program(line, kind, group, sent):
    assert program_text.collectives(line) == [(kind, group, sent)]


def test_operations_of_the_layers():
    """724,406,816 multiply-adds an image forward; backward twice that, but for conv1,
    whose input needs no gradient."""
    conv1 = 105_415_200
    total = sum(layer.multiply_adds for layer in roofline.layers_of(ALEXNET_OF_ONE))
    assert total == 3 * 724_406_816 - conv1


ALEXNET_OF_ONE = dataclasses.replace(presets.ALEXNET2012, batch_size=1)


def test_weak_scaling(tmp_path):
    """With the same batch a device, more rows of devices neither compute nor touch
    more on each (1 % is for the sums of metrics), and send what the ring needs."""
    file = tmp_path / "rows.json"
    meshes = ["1x2", "2x2", "8x2"]
    subprocess.run(
        [sys.executable, BENCHMARKS / "communication.py", "--mesh", *meshes]
        + ["--json", file],
        check=True,
        capture_output=True,
    )
    rows = json.loads(file.read_text())["rows"]
    assert [row["mesh"] for row in rows] == meshes
    for row in rows:
        assert row["operations"] == pytest.approx(rows[0]["operations"], rel=0.01)
        assert row["bytes_touched"] == pytest.approx(rows[0]["bytes_touched"], rel=0.01)
        assert 1 <= row["ratio"] <= 1.05


def test_bytes_of_the_layouts():
    """By hand: two devices exchange their gradients, or the maps of their columns."""
    whole = 60_965_224 * 4
    assert scaling.bytes_sent("data", 2, 128) == whole
    other_column = 256 * (21_632 + 4_608 + 2_048 + 2_048) * 4
    assert scaling.bytes_sent("columns", 2, 128) == 2 * other_column
    convolutions = 2_334_080 * 4
    inputs = 128 * (9_216 + 4_096 + 4_096) * 4
    assert scaling.bytes_sent("trick", 2, 128) == convolutions + 2 * inputs
    # Many devices: twice the parameters; of columns, half of that beside the maps.
    assert scaling.bytes_sent("data", 1024, 128) == pytest.approx(2 * whole, rel=0.002)
    grown = scaling.bytes_sent("columns", 1024, 128)
    maps = scaling.bytes_sent("columns", 2, 128)
    assert grown - maps == pytest.approx(whole, rel=0.003)


def test_cost_says_which_link_limits():
    machine = scaling.Machine(
        images_per_second=1000, link=100e9, network=10e9, devices_per_host=4
    )
    inside, across = (scaling.cost("data", n, 100, machine) for n in (4, 8))
    assert inside.computing == across.computing == 0.1
    assert inside.sending == pytest.approx(inside.sent / 100e9)
    assert across.sending == pytest.approx(across.sent / 10e9)
