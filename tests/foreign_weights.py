"""Random weights of the networks of others, in the arrays that their files hold."""

import math

import numpy as np

from alexnet_jax.weights import torchvision

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
NETWORKS = ("caffe_alexnet", "caffenet", "torchvision_alexnet")

# Outputs, inputs and side of the kernels, inputs of a group where there are groups.
_CAFFE = [(96, 3, 11), (256, 48, 5), (384, 256, 3), (384, 192, 3), (256, 192, 3)]
_TORCHVISION = [(64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3)]


def random_arrays(network, *, units=4096, classes=1000, seed=0):
    """{"conv1": (weights, biases), ...}, float32, channels first, of the deviation that
    keeps activations at their scale through ReLUs."""
    generator = np.random.default_rng(seed)
    convolutions = _TORCHVISION if network == "torchvision_alexnet" else _CAFFE
    shapes = [(o, i, side, side) for o, i, side in convolutions]
    shapes += [(units, 256 * 36), (units, units), (classes, units)]
    return {
        layer: (
            generator.normal(0, math.sqrt(2 / math.prod(shape[1:])), shape).astype(
                "f4"
            ),
            generator.normal(0, 0.1, shape[0]).astype("f4"),
        )
        for layer, shape in zip(LAYERS, shapes, strict=True)
    }


def state_dict(arrays):
    """By torchvision's names."""
    return {
        f"{torchvision.NAMES[layer]}.{kind}": array
        for layer, pair in arrays.items()
        for kind, array in zip(("weight", "bias"), pair, strict=True)
    }


def channels_last(arrays):
    """As TensorFlow has them: HWIO, `[in, out]`, fc6 counting place by place."""
    found = {}
    for layer, (weight, bias) in arrays.items():
        if weight.ndim == 4:
            weight = weight.transpose(2, 3, 1, 0)
        elif layer == "fc6":
            maps = weight.reshape(len(weight), 256, 6, 6)
            weight = maps.transpose(2, 3, 1, 0).reshape(-1, len(weight))
        else:
            weight = weight.T
        found[layer] = weight, bias
    return found
