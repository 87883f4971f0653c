"""docs/weights.md says what the newest record of parity says."""

import parity_page

from alexnet_jax import presets

FORMS = ("safetensors", "ONNX", "PyTorch module", "exported program")


def test_the_page_shows_the_record():
    page = parity_page.PAGE.read_text()
    remedy = "run: python -m benchmarks.parity_page"
    assert page == parity_page.with_table(page, parity_page.newest_record()), remedy


def test_the_record_is_complete_and_within_the_limit():
    record = parity_page.newest_record()
    rows = {(row["preset"], row["form"]): row for row in record["rows"]}
    assert set(rows) == {(name, form) for name in presets.PRESETS for form in FORMS}
    assert {1, 17} <= set(record["batches"]) and sum(record["batches"]) == 50
    for row in record["rows"]:
        assert max(row["differences"].values()) <= record["limit"] == 1e-5
        assert {"conv1.linear", "fc8.linear"} <= set(row["differences"])


def test_the_largest_difference_is_shown():
    record = {
        "date": "2000-01-01",
        "hardware": "none",
        "versions": {"jax": "1"},
        "batches": [1, 2],
        "limit": 1e-5,
        "rows": [
            {
                "preset": "digits",
                "weights": "trained",
                "images": "digits test",
                "form": form,
                "differences": {"conv1.linear": 1e-7, "fc8.linear": largest},
                "same_best_class": same,
            }
            for form, largest, same in (("ONNX", 2.5e-6, 3), ("npz", 0.0, 2))
        ],
    }
    assert parity_page.text(record).splitlines()[-1] == (
        "| `digits` | trained | digits test | 2.5e-06 at fc8.linear | 1.0e-07 at "
        "conv1.linear | 2 |"
    )
