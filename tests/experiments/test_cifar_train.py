"""Training of cuda-convnet's CIFAR-10 nets: one step, views, whole runs
(step.py, images.py, train.py and checkpoint.py of experiments/cuda_convnet)."""

import json
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alexnet_jax.errors import UserError
from alexnet_jax.system.interruption import Interrupted
from experiments.cuda_convnet import checkpoint, nets, step, train
from experiments.cuda_convnet import images as cifar_images
from experiments.cuda_convnet.images import Cifar10, Images
from experiments.cuda_convnet.model import CifarNet
from experiments.cuda_convnet.settings import Settings
from experiments.cuda_convnet.step import Rates

# Two layers with different weight costs, on crops of 8.
LAYERS = (
    nets.Conv(name="conv1", features=4, std=0.01, weight_cost=0.5),
    nets.MaxPool(),
    nets.Dense(name="fc10", features=10, std=0.01, weight_cost=3.0),
)
NET = CifarNet(layers=LAYERS)
RECIPE = nets.Recipe(stages=(), crop_size=8, batch_size=4)
STEP = {"net": NET, "recipe": RECIPE, "weight_costs": nets.weight_costs(LAYERS)}


def random_images(num_examples, size=8, seed=0):
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, (num_examples, size, size, 3), np.uint8)
    label = generator.integers(0, 10, num_examples, np.int32)
    return Images(jnp.asarray(image), jnp.asarray(label))


def random_cifar10(num_train=300, num_test=70):
    """Random images whose brightness tells the label."""
    splits = []
    for seed, num_examples in enumerate((num_train, num_test)):
        image, label = random_images(num_examples, 32, seed)
        dark = np.asarray(image) // (np.asarray(label) + 1)[:, None, None, None]
        splits.append(Images(jnp.asarray(dark, jnp.uint8), label))
    mean = jnp.mean(splits[0].image.astype(jnp.float32), axis=0)
    return Cifar10(*splits, mean)


def mean_loss(params, view, label):
    logits = NET.apply({"params": params}, view)
    log_probability = jax.nn.log_softmax(logits)
    own = jnp.take_along_axis(log_probability, label[:, None], axis=1)
    return -jnp.mean(own)


def test_two_steps_by_numpy():
    """v <- 0.9 v - wc * rate * w + rate * g with g the ascent, w <- w + v (weights.cu);
    the rates fall in between, which does not touch the old velocity."""
    images, mean = random_images(8), 100 * jnp.ones((8, 8, 3))
    state = step.create_state(NET, RECIPE, jax.random.key(0))
    params = jax.tree.map(np.asarray, state.params)
    velocity = jax.tree.map(np.zeros_like, params)
    for rates, batch in [((1e-4, 2e-4), [0, 3, 5, 6]), ((1e-5, 2e-4), [1, 2, 4, 7])]:
        indices = np.asarray(batch, np.int32)
        view = images.image[indices].astype(jnp.float32) - mean[None]
        ascent = jax.jit(jax.grad(mean_loss))(params, view, images.label[indices])
        for layer in ("conv1", "fc10"):
            for kind, rate in zip(("kernel", "bias"), rates, strict=True):
                w, v = params[layer][kind], velocity[layer][kind]
                cost = {"conv1": 0.5, "fc10": 3.0}[layer] if kind == "kernel" else 0.0
                g = -np.asarray(ascent[layer][kind])
                velocity[layer][kind] = 0.9 * v - cost * rate * w + rate * g
                params[layer][kind] = w + velocity[layer][kind]
        state = step.train_step(
            state,
            images,
            indices,
            mean,
            Rates(*(jnp.float32(rate) for rate in rates)),
            jax.random.key(1),
            **STEP,
        )
    for ours, theirs in zip(
        jax.tree.leaves((state.params, state.velocity)),
        jax.tree.leaves((params, velocity)),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-7)
    assert (int(state.step), float(state.running.examples)) == (2, 8)


@pytest.fixture(scope="module")
def compiled():
    images, mean = random_images(10), jnp.zeros((8, 8, 3))
    rates, key = Rates(jnp.float32(1e-4), jnp.float32(2e-4)), jax.random.key(1)
    state = step.create_state(NET, RECIPE, jax.random.key(0))
    one = jax.jit(partial(step.train_step, **STEP))
    many = jax.jit(partial(step.train_steps, **STEP))
    return state, images, one, many, (mean, rates, key)


def close(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-7)


def test_many_steps_are_steps(compiled):
    start, images, one, many, rest = compiled
    batches = step.epoch_batches(np.arange(10), 4)
    state = start
    for indices in batches[1:3]:
        state = one(state, images, indices, *rest)
    close(state, many(start, images, batches, 1, 3, *rest))


def test_a_batch_that_is_not_full(compiled):
    """The mean is over the images in the batch, without padding."""
    state, images, one, _, rest = compiled
    batches = step.epoch_batches(np.arange(10), 4)
    assert batches.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, -1, -1]]
    short = one(state, images, batches[2], *rest)
    twice = one(state, images, np.asarray([8, 9, 8, 9], np.int32), *rest)
    close(short.params, twice.params)
    assert float(short.running.examples) == 2


def test_crops_and_mirrors():
    """A view is a window of its image, minus the middle of the mean image."""
    recipe = nets.NETS["conv-local-11pct"].recipe
    image = random_images(200, 32).image
    mean = jnp.asarray(np.random.default_rng(2).random((32, 32, 3)), jnp.float32)
    views = cifar_images.training_views(jax.random.key(0), image, mean, recipe)
    crops = np.rint(np.asarray(views) + np.asarray(mean)[4:28, 4:28]).astype(np.uint8)
    places = []
    for whole, crop in zip(np.asarray(image), crops, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(whole, (24, 24, 3))
        windows = windows[:, :, 0]  # 9 9 24 24 3
        for mirrored, content in ((False, crop), (True, crop[:, ::-1])):
            same = np.argwhere((windows == content).all(axis=(2, 3, 4)))
            places += [(*place, mirrored) for place in same.tolist()]
    assert len(places) == 200
    tops, lefts, mirrored = zip(*places, strict=True)
    assert set(tops) == set(lefts) == set(range(9))
    assert tops != lefts
    assert 70 < sum(mirrored) < 130


def test_whole_images_are_left_alone():
    image, mean = random_images(3, 32).image, jnp.ones((32, 32, 3))
    recipe = nets.NETS["80sec"].recipe
    view = cifar_images.training_views(jax.random.key(0), image, mean, recipe)
    np.testing.assert_array_equal(view, image.astype(jnp.float32) - 1)


def test_test_views():
    """Pixels hold their position: channel 0 the row, channel 1 the column."""
    rows, columns = np.mgrid[:32, :32]
    image = np.stack([rows, columns, 0 * rows], axis=-1)[None].astype(np.uint8)
    first_pixels = {
        count: [
            tuple(view[0, 0, 0, :2].astype(int).tolist())
            for view in cifar_images.test_views(
                jnp.asarray(image), jnp.zeros((32, 32, 3)), 24, count
            )
        ]
        for count in (1, 9, 10)
    }
    assert first_pixels[1] == [(4, 4)]
    assert first_pixels[9] == [(i, j) for i in (0, 4, 8) for j in (0, 4, 8)]
    corners = [(0, 0), (0, 8), (8, 0), (8, 8), (4, 4)]
    # Mirrored, the first pixel is the last one of its row.
    assert first_pixels[10] == corners + [(i, j + 23) for i, j in corners]


def test_views_average_their_softmax():
    images, mean = random_images(5, 32), 120 * jnp.ones((32, 32, 3))
    state = step.create_state(NET, RECIPE, jax.random.key(3))
    result = step.evaluate_net(
        state.params, images, mean, net=NET, crop_size=8, num_views=9
    )
    softmax = [
        jax.nn.softmax(NET.apply({"params": state.params}, view))
        for view in cifar_images.test_views(images.image, mean, 8, 9)
    ]
    probability = np.mean(softmax, axis=0)
    own = probability[np.arange(5), images.label]
    np.testing.assert_allclose(result["loss"], -np.mean(np.log(own)), rtol=1e-4)
    wrong = probability.argmax(axis=1) != np.asarray(images.label)
    assert (result["top1_error"], result["examples"]) == (
        pytest.approx(wrong.mean()),
        5,
    )


def test_evaluation_counts_every_image(monkeypatch):
    images, mean = random_images(7), jnp.zeros((8, 8, 3))
    state = step.create_state(NET, RECIPE, jax.random.key(0))
    evaluate = partial(step.evaluate_net, net=NET, crop_size=8, num_views=1)
    whole = evaluate(state.params, images, mean)
    monkeypatch.setattr(step, "_EVAL_BATCH", 3)
    assert evaluate(state.params, images, mean) == pytest.approx(whole)


@pytest.fixture(autouse=True)
def small_net(monkeypatch):
    """80sec with few maps, for the tests of whole runs."""
    layers = (
        nets.Conv(name="conv1", features=2, std=0.0001, weight_cost=0.004),
        nets.MaxPool(),
        nets.Dense(name="fc10", features=10, std=0.01, weight_cost=0.03),
    )
    net = nets.Net(layers=layers, recipe=nets.NETS["80sec"].recipe)
    monkeypatch.setitem(nets.NETS, "80sec", net)


def records(directory):
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def run(directory, **options):
    settings = Settings(**({"net": "80sec", "crop": "random"} | options))
    return train.train_and_evaluate(settings, directory, random_cifar10())


class StopAfter:
    """Asks to stop after so many looks at `requested`."""

    def __init__(self, looks):
        self.looks = looks

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    @property
    def requested(self):
        self.looks -= 1
        return self.looks < 0


def test_resume_is_exact(tmp_path, monkeypatch):
    """Stopped within the second epoch and resumed: the same numbers to the bit."""
    run(tmp_path / "whole", num_epochs=2)
    monkeypatch.setattr(train, "_STEPS_PER_DISPATCH", 1)
    with monkeypatch.context() as patch:
        patch.setattr(train.interruption, "Interruption", lambda: StopAfter(4))
        with pytest.raises(Interrupted, match="step 5"):
            run(tmp_path / "parts", num_epochs=2)
    outcome = run(tmp_path / "parts", num_epochs=2)
    assert outcome == (6, False)
    with (
        np.load(tmp_path / "whole" / "checkpoint.npz") as whole,
        np.load(tmp_path / "parts" / "checkpoint.npz") as parts,
    ):
        assert whole.files == parts.files
        for name in whole.files:
            np.testing.assert_array_equal(whole[name], parts[name], err_msg=name)

    def without_speed(directory):
        return [
            {k: v for k, v in record.items() if k != "images_per_second"}
            for record in records(directory)
        ]

    assert without_speed(tmp_path / "whole") == without_speed(tmp_path / "parts")


def test_records_of_a_run(tmp_path):
    run(tmp_path, num_epochs=2)
    kinds = [
        (r["kind"], r["epoch"], r["step"], r["examples"]) for r in records(tmp_path)
    ]
    assert kinds == [
        ("train", 1, 3, 300),
        ("eval", 1, 3, 70),
        ("train", 2, 6, 300),
        *[("eval", 2, 6, 70)] * 3,
    ]
    assert [r["views"] for r in records(tmp_path)[-3:]] == [1, 9, 10]


def test_complete_and_then_longer(tmp_path):
    assert run(tmp_path, num_epochs=1) == (3, False)
    assert run(tmp_path, num_epochs=1) == (3, True)
    assert run(tmp_path, num_epochs=2) == (6, False)


def test_other_settings_are_refused(tmp_path):
    run(tmp_path, num_epochs=1)
    with pytest.raises(UserError, match="--learning-rate: None there, 0.1 now"):
        run(tmp_path, num_epochs=1, learning_rate=0.1)


def test_until_train_error(tmp_path):
    """Stops at the end of the first epoch that is good enough, and says when."""
    limit = 0.88
    outcome = run(tmp_path, crop="none", until_train_error=limit, num_epochs=50)
    errors = [r["top1_error"] for r in records(tmp_path) if r["kind"] == "train_end"]
    assert errors[-1] <= limit < min(errors[:-1], default=0.9)
    assert outcome.step == 3 * len(errors) < 150
    (reached,) = [r for r in records(tmp_path) if r["kind"] == "reached"]
    assert reached["epoch"] == len(errors)
    assert len(errors) - 1 <= reached["crossing"] <= len(errors)
    assert run(tmp_path, crop="none", until_train_error=limit, num_epochs=50) == (
        outcome.step,
        True,
    )


def test_crossing():
    assert train.crossing(0.25, 5, before=0.3, after=0.2) == pytest.approx(5.5)
    assert train.crossing(0.25, 5, before=0.3, after=0.25) == pytest.approx(6)


def test_nan_ends_the_run(tmp_path):
    with pytest.raises(FloatingPointError, match="loss is nan.*--learning-rate"):
        run(tmp_path, learning_rate=1e30, num_epochs=1)
    assert not (tmp_path / "checkpoint.npz").exists()


def test_checkpoint_is_whole_or_not_there(tmp_path, monkeypatch):
    """A write that fails leaves the previous checkpoint."""
    path = tmp_path / "checkpoint.npz"
    state = step.create_state(NET, RECIPE, jax.random.key(0))
    checkpoint.save(path, state)

    def breaks_off(file, **_):
        file.write(b"PK")
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", breaks_off)
        with pytest.raises(OSError):
            checkpoint.save(path, state._replace(step=jnp.int32(7)))
    empty = jax.tree.map(jnp.zeros_like, state)
    close(checkpoint.restore(path, empty), state)


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["train", "--net", "80sec", *arguments])
    return train.main()


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cifar_images, "load_cifar10", lambda _: random_cifar10())
    arguments = ["--workdir", str(tmp_path), "--num-epochs", "1"]
    assert command(monkeypatch, *arguments) == 0
    assert command(monkeypatch, *arguments) == 0
    assert "the run is complete, 3 steps" in capsys.readouterr().out
    assert command(monkeypatch, *arguments, "--seed", "-1") == 2
    assert "--seed -1" in capsys.readouterr().err


def test_record_of_a_run(tmp_path, monkeypatch):
    """Its command has what differs from the net's recipe; its errors are the last."""
    monkeypatch.setattr(cifar_images, "load_cifar10", lambda _: random_cifar10())
    target = tmp_path / "80sec.json"
    options = "--crop random --num-epochs 2 --no-norm --seed 3"
    arguments = [*options.split(), "--workdir", str(tmp_path), "--record", str(target)]
    assert command(monkeypatch, *arguments) == 0
    found = json.loads(target.read_text())
    errors = {str(r["views"]): r["top1_error"] for r in records(tmp_path)[-3:]}
    assert found["top1_error_by_views"] == errors
    assert found["result"]["top1_error"] == errors["1"]
    assert found["claim"] == "80sec --no-norm --crop random --num-epochs 2"
    program = "python -m experiments.cuda_convnet.train --net 80sec "
    assert found["command"].removeprefix(program) == (
        "--no-norm --crop random --num-epochs 2 --seed 3"
    )
    assert (found["epochs"], found["steps"], found["seed"]) == (2, 6, 3)
    assert [point["epoch"] for point in found["curve"]] == [1, 2]
    assert found["cores"] and str(tmp_path) not in target.read_text()


def test_help_describes_the_command(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        command(monkeypatch, "--help")
    assert "Trains one of cuda-convnet's CIFAR-10 nets" in capsys.readouterr().out


def test_without_data(tmp_path, monkeypatch, capsys):
    arguments = ["--workdir", str(tmp_path / "run"), "--data-dir", str(tmp_path)]
    assert command(monkeypatch, *arguments) == 2
    assert "no prepared dataset 'cifar10'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_real_images(test_data):
    cifar10 = cifar_images.load_cifar10(str(test_data / "tfds"))
    assert cifar10.train.image.shape == (50_000, 32, 32, 3)
    assert cifar10.test.image.shape == (10_000, 32, 32, 3)
    assert np.bincount(cifar10.train.label).tolist() == [5_000] * 10
    mean = np.asarray(cifar10.mean_image).mean(axis=(0, 1))
    np.testing.assert_allclose(mean, [125.3, 123.0, 113.9], atol=0.5)
