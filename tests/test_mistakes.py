"""Realistic mistakes: each is one message that names the value, and exit code 2.

Nothing is computed before the message, and nothing is written.
"""

import importlib
import sys

import pytest

from alexnet_jax.system import distributed

# Command and arguments, and words of the message. {run} is a finished run of digits,
# {data} its data directory, {new} does not exist, {file} is a text file, {full} is a
# folder of other files.
MISTAKES = [
    # Options of other programs, or misspelt.
    ("main --workdir {new} --lr 0.1", "use --optimizer.learning-rate"),
    ("main --workdir {new} --epochs 5", "use --num-epochs"),
    ("main --workdir {new} --gpus 2", "use --run.mesh.data"),
    ("main --workdir {new} --resume", "the same command again"),
    ("main --workdir {new} --optimizer.learnin-rate 1", "--optimizer.learning-rate"),
    ("main --workdir {new} --preset alexnet2013", "alexnet2012"),
    ("main", "--workdir"),
    ("main --workdir=", "--workdir has an empty value"),
    # Values that cannot be.
    ("main --workdir {new} --num-epochs ten", "--num-epochs"),
    ("main --workdir {new} --batch-size 0", "--batch-size 0 must be greater than 0"),
    ("main --workdir {new} --model.dropout-rate 1", "--model.dropout-rate 1 must be"),
    ("main --workdir {new} --model.conv3.sees all", "--model.conv3.sees"),
    ("main --workdir {new} --model.without conv9", "conv9"),
    ("main --workdir {new} --augment.crop-size 29", "--augment.crop-size 29"),
    ("main --workdir {new} --run.mesh.column 3", "--run.mesh.column 3"),
    ("main --workdir {new} --run.mesh.data 16", "there are 4"),
    # Data that is not there, or does not fit.
    ("main --workdir {new} --data.name digts", "available: digits"),
    ("main --workdir {new} --preset cifar10", "available: digits"),
    ("main --workdir {new} --data.eval-split dev", "its splits are train, test"),
    ("main --workdir {new} --batch-size 2000", "larger than the 1437 images"),
    ("main --workdir {new} --model.fc8.features 8", "--model.fc8.features 10"),
    ("prepare --source {new}", "{new}"),
    ("prepare --source {file}", "{file}"),
    # Directories and files.
    ("main --workdir {file}", "is a file: name a directory"),
    ("main --workdir {full}", "holds other files"),
    ("main --workdir {run} --seed 1", "belongs to a run with another configuration"),
    ("main --workdir {new} --record {new}/a.json", "--record {new}/a.json cannot be"),
    ("evaluate --workdir {new}", "(digits, cifar10)"),
    ("evaluate --workdir {full}", "{full} holds no run"),
    ("evaluate --workdir {file}", "{file} is neither a run directory nor a weights"),
    ("convert {new}.pth {new}.safetensors", "{new}.pth does not exist"),
    ("convert {run} {file}", "the name should end in .safetensors"),
    ("convert {run} {new}/a.safetensors", "its folder does not exist"),
    # Questions to a trained network.
    ("evaluate --workdir {run} --split val", "val"),
    ("evaluate --workdir {run} --views 5", "--views"),
    ("evaluate --workdir {run} --checkpoint 7", "7"),
    ("evaluate --workdir {run} --weights 1 2", "give one for each of the 1 networks"),
    ("evaluate --workdir {run} --per-class {new}/a.csv", "{new}/a.csv cannot be"),
    ("predict --workdir {run}", "no images"),
    ("predict --workdir {run} {file} --json --csv", "choose one"),
    ("features --workdir {run} {file} --layers conv9 --output {new}.npz", "conv9"),
    ("features --workdir {run} {file} --output {new}.txt", "end in .npz or .h5"),
    ("features --workdir {run} {file}", "name the feature file"),
    ("visualize kernel --workdir {run}", "kernels"),
    ("visualize curves --workdir {new}", "{new}"),
    ("explain --workdir {new}", "{new} does not exist"),
    ("explain --workdir {run} --checkpoint 7", "7"),
    ("explain --workdir {run} --out {file}", "--out {file} cannot be written"),
    ("explain --workdir cifar10", "Or name images"),
    ("explain --workdir {run} {file}", "{file}"),
]


@pytest.fixture
def places(digits_run, digits_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", digits_dir)
    (tmp_path / "text.txt").write_text("not an image")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    return {
        "run": digits_run,
        "data": digits_dir,
        "new": tmp_path / "new",
        "file": tmp_path / "text.txt",
        "full": tmp_path / "full",
    }


def outcome(words, monkeypatch):
    """Exit code of a command in this process."""
    module = importlib.import_module(f"alexnet_jax.{words[0]}")
    # conftest.py has requested them.
    monkeypatch.setattr(distributed, "start", lambda *_, **__: None)
    monkeypatch.setattr(sys, "argv", words)
    try:
        return module.main()
    except SystemExit as exit:
        return exit.code


@pytest.mark.parametrize("command, message", MISTAKES)
def test_a_mistake(command, message, places, capsys, monkeypatch):
    words = [word.format(**places) for word in command.split()]
    if words[0] == "main":
        words += ["--data.data-dir", str(places["data"])]
    assert outcome(words, monkeypatch) == 2
    out, err = capsys.readouterr()
    flat = " ".join(err.replace("│", " ").split())
    assert message.format(**places) in flat, err
    # tyro's messages end with this line.
    number = err.count("error:") + err.count("For full helptext")
    assert number == 1 and "Traceback" not in err, err
    assert not out and not places["new"].exists()
