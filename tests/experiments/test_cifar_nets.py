"""cuda-convnet's CIFAR-10 nets: sizes, layers, recipes (nets.py, model.py, layers.py
and settings.py of experiments/cuda_convnet)."""

import ast
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest

from alexnet_jax import config_checks, pooling
from alexnet_jax.config import Pool
from alexnet_jax.errors import UserError
from experiments.cuda_convnet import layers, model, nets, settings
from experiments.cuda_convnet.settings import Settings

COUNTS = {
    "80sec": 145_578,
    "19pct": 89_578,
    "18pct": 89_578,  # 19pct's: normalisation has no parameters
    "conv-local-13pct": 1_116_490,
    "conv-local-11pct": 2_112_970,
}
CONV_NET = [(32, 32), (16, 32), (16, 32), (8, 32), (8, 64), (4, 64)]
MAPS = {  # side and number of the maps that the layers give, norms left out
    "80sec": CONV_NET,
    "19pct": CONV_NET,
    "18pct": CONV_NET,
    "conv-local-13pct": [(24, 64), (12, 64), (12, 64), (6, 64), (6, 32), (6, 32)],
    "conv-local-11pct": [(24, 64), (12, 64), (12, 64), (6, 64), (6, 64), (6, 32)],
}


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def abstract(layers, size):
    """Parameters and output of the net on two images, as shapes."""
    net = model.CifarNet(layers=layers)
    image = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    output, variables = jax.eval_shape(net.init_with_output, jax.random.key(0), image)
    return variables["params"], output


@pytest.mark.parametrize("name", nets.NETS)
def test_parameter_counts(name):
    net = nets.NETS[name]
    params, logits = abstract(net.layers, net.recipe.crop_size)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == COUNTS[name]
    assert logits.shape == (2, 10)


@pytest.mark.parametrize("name", nets.NETS)
def test_map_sizes(name):
    net = nets.without_norms(nets.NETS[name])
    sizes = []
    for depth in range(1, len(MAPS[name]) + 1):
        _, maps = abstract(net.layers[:depth], net.recipe.crop_size)
        assert maps.shape[1] == maps.shape[2]
        sizes.append(maps.shape[2:])
    assert sizes == MAPS[name]


def test_initial_values():
    """Plain Gaussians with the deviation of each layer; biases of zero."""
    net = nets.NETS["conv-local-13pct"]
    module = model.CifarNet(layers=net.layers)
    params = jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, 24, 24, 3)))[
        "params"
    ]
    stds = {layer.name: layer.std for layer in net.layers if hasattr(layer, "std")}
    assert stds.keys() == params.keys()
    for name, std in stds.items():
        kernel = np.asarray(params[name]["kernel"])
        np.testing.assert_allclose(kernel.std(), std, rtol=0.05)
        if kernel.size > 10_000:  # none is cut off
            assert np.abs(kernel).max() > 3 * std
        assert not np.any(params[name]["bias"])


@pytest.mark.parametrize("name", nets.NETS)
def test_weight_costs(name):
    """The weight costs in the 2012 files, by layer."""
    conv = {"conv1": 0.004, "conv2": 0.004, "conv3": 0.004}
    conv_local = {"conv1": 0, "conv2": 0, "local3": 0.004, "local4": 0.004}
    expected = {
        "80sec": conv | {"fc64": 0.03, "fc10": 0.03},
        "19pct": conv | {"fc10": 3},
        "18pct": conv | {"fc10": 1},
        "conv-local-13pct": conv_local | {"fc10": 0.004},
        "conv-local-11pct": conv_local | {"fc10": 0.01},
    }
    assert nets.weight_costs(nets.NETS[name].layers) == expected[name]


def pool_by_loops(x, reduce):
    """Over 3x3 windows at stride 2 that are cut off at the edge."""
    batch, height, width, channels = x.shape
    outputs = -(-(height - 3) // 2) + 1, -(-(width - 3) // 2) + 1
    y = np.empty((batch, *outputs, channels), np.float64)
    for i, j in np.ndindex(outputs):
        window = x[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        y[:, i, j] = reduce(window.astype(np.float64), axis=(1, 2))
    return y


@pytest.mark.parametrize("size", [(6, 6), (8, 4)])
def test_pooling(size):
    x = random(2, *size, 3)
    largest = pooling.max_pool(x, Pool(window=3, stride=2))
    mean = layers.average_pool(x)
    np.testing.assert_array_equal(largest, pool_by_loops(x, np.max))
    np.testing.assert_allclose(mean, pool_by_loops(x, np.mean), rtol=1e-5, atol=1e-6)


def test_pooling_refuses_odd_maps():
    with pytest.raises(ValueError, match=r"even size, not \(6, 5\)"):
        layers.average_pool(jnp.zeros((1, 6, 5, 1)))


def test_local_layer():
    x, kernel = random(2, 4, 3, 5), random(4, 3, 3, 3, 5, 6, seed=1)
    padded = np.pad(x.astype(np.float64), [(0, 0), (1, 1), (1, 1), (0, 0)])
    expected = np.zeros((2, 4, 3, 6))
    for h, w, i, j in np.ndindex(4, 3, 3, 3):
        expected[:, h, w] += padded[:, h + i, w + j] @ kernel[h, w, i, j]
    np.testing.assert_allclose(layers.local(x, kernel), expected, atol=1e-4)


def test_local_bias_is_one_for_each_output():
    layer = model.LocallyConnected(features=2, std=0.04)
    variables = layer.init(jax.random.key(0), jnp.zeros((1, 4, 4, 3)))
    bias = random(4, 4, 2)
    params = {"kernel": variables["params"]["kernel"], "bias": bias}
    y = layer.apply({"params": params}, jnp.zeros((1, 4, 4, 3)))
    np.testing.assert_array_equal(y[0], bias)


def test_norms():
    """Size 9 over maps, 0.001 / 9; 3x3 over pixels, 5e-5 / 9; both with k = 1."""
    x = 50 * random(2, 6, 6, 16)
    maps = model.normalize(nets.CrossMapNorm(), x)
    expected = oracle.local_response_norm(x, 9, 1.0, 0.001 / 9, 0.75, num_columns=1)
    np.testing.assert_allclose(maps, expected, rtol=1e-4)
    pixels = model.normalize(nets.SameMapNorm(), x)
    expected = oracle.spatial_response_norm(x, 3, 1.0, 5e-5 / 9, 0.75)
    np.testing.assert_allclose(pixels, expected, rtol=1e-4)


def test_places_of_norms():
    """After two pools in 18pct; after the first, before the second in 11pct."""

    def around_norms(name):
        layers = [type(layer).__name__ for layer in nets.NETS[name].layers]
        places = [i for i, layer in enumerate(layers) if layer.endswith("Norm")]
        return [tuple(layers[i - 1 : i + 2]) for i in places]

    assert around_norms("18pct") == [
        ("MaxPool", "SameMapNorm", "Conv"),
        ("AveragePool", "SameMapNorm", "Conv"),
    ]
    assert around_norms("conv-local-11pct") == [
        ("MaxPool", "CrossMapNorm", "Conv"),
        ("Conv", "CrossMapNorm", "MaxPool"),
    ]


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_activation_behind_the_first_pool_changes_nothing(activation):
    """It grows with its argument, so it may stand on either side of a maximum."""
    name = "conv1"
    conv = nets.Conv(name=name, features=4, std=0.1, weight_cost=0)
    before = (conv, nets.MaxPool())
    behind = (
        nets.replace(conv, activate=False),
        nets.MaxPool(activate=True),
    )
    image = random(2, 8, 8, 3)
    outputs = [
        model.CifarNet(layers=layers, activation=activation).init_with_output(
            jax.random.key(0), image
        )[0]
        for layers in (before, behind)
    ]
    np.testing.assert_array_equal(*outputs)


def epochs(net, num_epochs=None, **options):
    recipe = settings.net_of(Settings(net=net, **options)).recipe
    return recipe, settings.epochs_of(recipe, num_epochs, num_examples=50_000)


def test_epochs_of_80sec():
    recipe, plan = epochs("80sec")
    assert [epoch.stage.rate_factor for epoch in plan] == [1.0] * 8 + [0.1] * 2
    assert (recipe.learning_rate, recipe.bias_learning_rate) == (0.001, 0.002)
    assert [plan[0].first_step, plan[0].stop_step, plan[1].stop_step] == [0, 391, 782]


def test_epochs_of_the_11pct_method():
    """350 on four fifths, 150 on all, 10 each at a tenth and a hundredth (K1)."""
    _, plan = epochs("conv-local-11pct")
    assert len(plan) == 520
    numbers = [(e.num_examples, e.stage.rate_factor) for e in plan]
    assert numbers[349:351] == [(40_000, 1.0), (50_000, 1.0)]
    assert numbers[499:501] == [(50_000, 1.0), (50_000, 0.1)]
    assert numbers[509:511] == [(50_000, 0.1), (50_000, 0.01)]
    assert all(e.stage.bias_rate_factor == 1.0 for e in plan)
    assert plan[-1].stop_step == 350 * 313 + 170 * 391
    assert all(
        a.stop_step == b.first_step for a, b in zip(plan, plan[1:], strict=False)
    )


def test_num_epochs_cuts_or_goes_on():
    assert len(epochs("80sec", num_epochs=3)[1]) == 3
    plan = epochs("80sec", num_epochs=12)[1]
    assert [epoch.stage.rate_factor for epoch in plan[7:]] == [1.0] + [0.1] * 4


def test_constant_rate():
    _, plan = epochs("conv-local-11pct", num_epochs=700, constant_rate=True)
    numbers = {(e.stage.rate_factor, e.num_examples) for e in plan}
    assert (len(plan), numbers) == (700, {(1.0, 50_000)})


def test_bias_rate_keeps_its_ratio():
    recipe, _ = epochs("19pct", learning_rate=0.003)
    assert recipe.learning_rate == 0.003
    assert recipe.bias_learning_rate == pytest.approx(0.006)


def test_crop_option():
    def seen(net, crop):
        recipe, _ = epochs(net, crop=crop)
        return recipe.crop_size, recipe.flip, recipe.views

    whole, crops = (32, False, (1,)), (24, True, (1, 9, 10))
    assert seen("19pct", "recipe") == seen("conv-local-11pct", "none") == whole
    assert seen("19pct", "random") == seen("conv-local-11pct", "recipe") == crops


def test_norm_option():
    net = settings.net_of(Settings(net="18pct", norm=False))
    kinds = {type(layer) for layer in net.layers}
    assert nets.SameMapNorm not in kinds and len(net.layers) == 7


@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": 0.0},
        {"weight_cost_scale": -1.0},
        {"num_epochs": 0},
        {"until_train_error": 25.0},
        {"seed": -1},
    ],
)
def test_numbers_out_of_range(options):
    (name,) = options
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')} "):
        config_checks.check_ranges(Settings(net="80sec", **options))


FOLDER = Path(nets.__file__).parents[1]


@pytest.mark.parametrize(
    "path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.name
)
def test_files_and_functions_are_short(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 50, node.name
