"""Caffe's networks and torchvision's in numpy, float64, channels first: from the arrays
that a file holds to what each layer makes of an image."""

import numpy as np


def convolve(x, weight, bias, *, stride=1, pad=0, groups=1):
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    outputs, inputs, size, _ = weight.shape
    side = (x.shape[1] - size) // stride + 1
    patches = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    patches = patches[:, ::stride, ::stride][:, :side, :side]
    found = []
    for group in range(groups):
        seen = patches[group * inputs : (group + 1) * inputs]
        rows = np.moveaxis(seen, 0, 2).reshape(side * side, -1)
        own = weight[group * outputs // groups : (group + 1) * outputs // groups]
        found.append((rows @ own.reshape(len(own), -1).T).T)
    return np.concatenate(found).reshape(outputs, side, side) + bias[:, None, None]


def pool(x, *, up=True):
    """3x3 at stride 2; sizes round up (Caffe) or down (PyTorch)."""
    steps = (x.shape[1] - 3) / 2
    side = int(np.ceil(steps) if up else np.floor(steps)) + 1
    padded = np.pad(x, ((0, 0), (0, 2), (0, 2)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return windows[:, ::2, ::2][:, :side, :side].max(axis=(3, 4))


def norm(x):
    """Over 5 maps, of both groups: x / (1 + 1e-4 / 5 sum of squares)^0.75."""
    squares = np.pad(x**2, ((2, 2), (0, 0), (0, 0)))
    total = sum(squares[i : i + len(x)] for i in range(5))
    return x / (1 + 1e-4 / 5 * total) ** 0.75


def activations(network, arrays, x):
    """What each layer makes of one input `[3, crop, crop]`, by our names of stages.

    Args:
        network: caffe_alexnet, caffenet or torchvision_alexnet.
        arrays: {"conv1": (weights, biases), ...} as in a file: OIHW, `[out, in]`.
    """
    found = {}
    x = x.astype(np.float64)
    caffe = network != "torchvision_alexnet"
    first = {"stride": 4, "pad": 0 if caffe else 2}
    for i, pad in ((1, None), (2, 2), (3, 1), (4, 1), (5, 1)):
        groups = 2 if caffe and i in (2, 4, 5) else 1
        options = first if i == 1 else {"pad": pad, "groups": groups}
        x = found[f"conv{i}.linear"] = convolve(x, *arrays[f"conv{i}"], **options)
        x = found[f"conv{i}.activation"] = np.maximum(x, 0)
        if i in (1, 2) and network == "caffe_alexnet":
            x = found[f"conv{i}.norm"] = norm(x)
        if i in (1, 2, 5):
            x = found[f"conv{i}.pool"] = pool(x, up=caffe)
        if i in (1, 2) and network == "caffenet":
            x = found[f"conv{i}.norm"] = norm(x)
    x = x.ravel()  # map by map
    for name in ("fc6", "fc7", "fc8"):
        weight, bias = arrays[name]
        x = found[f"{name}.linear"] = weight @ x + bias
        if name != "fc8":
            x = found[f"{name}.activation"] = np.maximum(x, 0)
    return found
