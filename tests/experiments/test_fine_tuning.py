"""experiments/fine_tuning.py: two runs that differ in the start alone, one record."""

import json

from alexnet_jax import config_json
from experiments import fine_tuning


def test_the_runs_differ_in_the_start_alone(tmp_path):
    options = fine_tuning.Options(workdir=tmp_path)
    scratch, start = (
        config_json.flatten(config_json.to_json(fine_tuning.config_of(options, init)))
        for init in (None, "cifar10")
    )
    assert config_json.differing(scratch, start) == {"init_from": (None, "cifar10")}


def test_record(digits_dir, tmp_path):
    """Of one epoch: the errors of both, and the command of each run."""
    options = fine_tuning.Options(
        workdir=tmp_path / "runs",
        num_epochs=1,
        data_dir=digits_dir,
        record=tmp_path / "record.json",
    )
    text = fine_tuning.run(options)
    record = json.loads(options.record.read_text())
    for name, result in (("scratch", "scratch"), ("start", "result")):
        error = record["curves"][name][0]["top1_error"]
        assert record[result]["top1_error"] == error
        assert f"{name}: test error {100 * error:.2f}% after one epoch" in text
    assert "--init-from cifar10" in record["trained_by"]["start"]
    assert fine_tuning.changes([record])[0] < 0  # easily, by more than ten points
    assert str(tmp_path) not in options.record.read_text()
