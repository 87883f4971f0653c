"""--init-from: parameters are taken over by layer, to the bit, from files and runs."""

import dataclasses
import json
import subprocess
import sys

import jax
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax import convert, main, train_step, trained
from alexnet_jax.errors import UserError
from alexnet_jax.system import process_variables
from alexnet_jax.training import manifest, record, setup
from alexnet_jax.weights import network_file

DIGITS_IN_CIFAR10 = (
    *("--preset", "cifar10", "--data.name", "digits", "--augment.color-shift", "none"),
    *("--augment.no-horizontal-flip", "--optimizer.schedule", "constant"),
    *("--num-epochs", "1", "--run.mesh.data", "1"),
)


def config_of(digits_dir, *options):
    words = ["--workdir", "unused", "--data.data-dir", digits_dir, *options]
    return main.parse(words).config


def begun(config, directory):
    """Run and state before the first step."""
    run = setup.set_up(config, directory)
    with jax.set_mesh(run.mesh):
        key = jax.random.key(config.seed)
        state = train_step.create_train_state(config, run.mesh, key)
        shardings = jax.tree.map(lambda leaf: leaf.sharding, state.params)
        history = manifest.History(directory)
        run, state = setup.start_from_other(run, state, history)
    assert jax.tree.map(lambda leaf: leaf.sharding, state.params) == shardings
    run.lock.release()
    return run, jax.tree.map(np.asarray, state.params)


def same(some, other):
    return all(np.array_equal(some[kind], other[kind]) for kind in some)


def test_layers_of_a_file_are_taken_over_and_the_head_is_new(digits_dir, tmp_path):
    """The shipped cifar10 for digits: ten classes too, but of other names."""
    options = (*DIGITS_IN_CIFAR10, "--init-from", "cifar10")
    run, params = begun(config_of(digits_dir, *options), tmp_path / "run")
    file = network_file.read(trained.locate("cifar10"))
    assert params.keys() == file.params.keys()
    for layer, arrays in params.items():
        assert same(arrays, file.params[layer]) == (layer != "fc8"), layer
    start = run.identity["init_from"]
    assert start["new_layers"] == {"fc8": "the classes have other names"}
    assert start["origin"] == file.origin and start["file"] == "cifar10.safetensors"
    digest = subprocess.run(
        ["sha256sum", trained.locate("cifar10")], capture_output=True, text=True
    )
    assert digest.stdout.startswith(start["sha256"])


def test_layers_of_a_run_with_the_same_classes(digits_run, digits_dir, tmp_path):
    """All layers, the head among them; with other numbers of classes it is new."""
    options = ("--init-from", str(digits_run))
    run, params = begun(config_of(digits_dir, *options), tmp_path / "a")
    expected = alexnet_jax.load(digits_run).network.on_host().params
    assert all(same(params[layer], expected[layer]) for layer in expected)
    assert run.identity["init_from"]["new_layers"] == {}
    assert "command" in run.identity["init_from"]["origin"]
    more = (*options, "--model.fc8.features", "12")
    run, params = begun(config_of(digits_dir, *more), tmp_path / "b")
    assert run.identity["init_from"]["new_layers"] == {
        "fc8": "10 classes there, 12 here"
    }
    assert params["fc8"]["bias"].shape == (12,)
    assert same(params["fc7"], expected["fc7"])


def test_a_network_cut_off_gives_what_it_has(digits_dir, tmp_path):
    whole = network_file.read(trained.locate("digits"))
    convs = {name: of for name, of in whole.params.items() if name < "fc6"}
    network_file.write(
        tmp_path / "convs.safetensors", dataclasses.replace(whole, params=convs)
    )
    options = ("--init-from", str(tmp_path / "convs.safetensors"))
    run, params = begun(config_of(digits_dir, *options), tmp_path / "run")
    assert set(run.identity["init_from"]["new_layers"]) == {"fc6", "fc7", "fc8"}
    assert all(same(params[name], convs[name]) for name in convs)


MISTAKES = {
    "missing": (["--init-from", "nothing.safetensors"], "does not exist"),
    "shapes": (
        ["--init-from", "cifar10"],
        "conv1: [5, 5, 3, 32] there, [5, 5, 3, 16] here",
    ),
    "remedy": (["--init-from", "cifar10"], "Options that fit: --preset cifar10, with"),
    "columns": (
        ["--init-from", "digits", "--model.num-columns", "1"],
        "it has 2 columns, and this network 1",
    ),
    "crop": (
        ["--init-from", "digits", "--augment.crop-size", "20"],
        "fc6: [3, 3, 32, 128] there, [2, 2, 32, 128] here",
    ),
    "scale": (
        ["--init-from", "digits", "--augment.pixel-scale", "0.01"],
        "it expects pixels times 1.0, here they are times 0.01",
    ),
    "layer": (
        ["--init-from", "digits", "--model.without", "conv3"],
        "conv3: [3, 3, 32, 48] there, missing here",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name, digits_dir, tmp_path):
    options, message = MISTAKES[name]
    with pytest.raises(UserError) as raised:
        setup.set_up(config_of(digits_dir, *options), tmp_path / "run")
    assert message in str(raised.value)
    assert str(raised.value).startswith(f"--init-from {options[1]}")
    assert not (tmp_path / "run").exists()


def test_what_differs_is_told(digits_dir, tmp_path):
    options = ("--init-from", "digits", "--model.activation", "tanh")
    run, _ = begun(config_of(digits_dir, *options), tmp_path)
    text = record.start_in_words(run.identity["init_from"])
    assert text.endswith("; --model.activation: relu there, tanh now")


def train(*options):
    result = subprocess.run(
        [sys.executable, "-m", *options], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_run_goes_on_without_the_file(digits_dir, tmp_path):
    """Frozen layers keep the bits of the file; checkpoint, manifest and what is
    converted tell where the run comes from."""
    given = tmp_path / "given.safetensors"
    given.write_bytes(trained.locate("cifar10").read_bytes())
    options = (
        *("alexnet_jax.main", *DIGITS_IN_CIFAR10, "--data.data-dir", digits_dir),
        *("--workdir", str(tmp_path / "run"), "--init-from", str(given)),
        *("--optimizer.layer-multipliers", "conv1:0", "conv2:0"),
    )
    text = "start      given.safetensors, sha256 "
    assert text in train(*options)
    given.unlink()
    assert text in train(*options, "--num-epochs", "2")
    starts = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert starts[0]["init_from"] == starts[1]["init_from"]
    assert "the run is complete" in train(*options, "--num-epochs", "2")
    files = [f for f in (tmp_path / "run/checkpoints").rglob("*") if f.is_file()]
    assert any(
        starts[0]["init_from"]["sha256"].encode() in f.read_bytes() for f in files
    )
    file = network_file.read(trained.locate("cifar10")).params
    to = tmp_path / "to.safetensors"
    convert.run(convert.Options(source=tmp_path / "run", dest=to))
    found = network_file.read(to)
    moved = [layer for layer in file if not same(found.params[layer], file[layer])]
    assert moved == ["conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
    assert found.origin["start"].startswith("given.safetensors, sha256 ")
    assert "--preset cifar10" in found.origin["origin of the start"]
    assert "--init-from given.safetensors" in found.origin["command"]
    assert "| Started from | given" in (tmp_path / "to.md").read_text()


@pytest.mark.parametrize("start", ["file", "run"])
def test_two_processes_give_the_bits_of_one(start, digits_run, digits_dir, tmp_path):
    """Each holds one column of the parameters that both have read."""
    options = (
        *("--data.data-dir", digits_dir, "--num-epochs", "0.1"),
        *("--init-from", "digits" if start == "file" else str(digits_run)),
        *("--run.mesh.data", "1", "--run.mesh.column", "2"),
    )
    two, one = str(tmp_path / "two"), str(tmp_path / "one")
    train("alexnet_jax.launch", "--", *options, "--workdir", two)
    devices = ("--run.mesh.cpu-devices", "2")
    train("alexnet_jax.main", *options, *devices, "--workdir", one)
    found, expected = (alexnet_jax.load(run).network.on_host() for run in (two, one))
    assert found.step == expected.step == 3
    for layer, arrays in expected.params.items():
        assert same(found.params[layer], arrays), layer


def test_processes_with_other_files_end_with_a_message(digits_dir, tmp_path):
    """The path is the same, and a relative one; the files are not."""
    command = (
        *("python", "-m", "alexnet_jax.main", "--data.data-dir", digits_dir),
        *("--workdir", str(tmp_path / "run"), "--init-from", "net.safetensors"),
        *("--run.num-processes", "2"),
    )
    address = process_variables.free_address()
    network = network_file.read(trained.locate("digits"))
    processes = []
    for index in range(2):
        place = tmp_path / str(index)
        place.mkdir()
        network_file.write(
            place / "net.safetensors", dataclasses.replace(network, step=index)
        )
        process = subprocess.Popen(
            [sys.executable, *command[1:], "--run.process-index", str(index)]
            + ["--run.distributed", address],
            cwd=place,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        processes.append(process)
    output = "".join(process.communicate(timeout=200)[0] for process in processes)
    assert "--init-from: process 1 reads another net.safetensors" in output
    assert [process.returncode for process in processes] == [2, 2], output
    assert "Traceback" not in output
