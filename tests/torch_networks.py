"""Caffe's AlexNet, CaffeNet and torchvision's AlexNet as modules of PyTorch, which keep
what each layer makes of its input."""

import torch
from torch import nn


class Network(nn.Module):
    """A row of layers; `forward` returns what each gives, by our names of stages."""

    def __init__(self, rows):
        super().__init__()
        self.names = [name for name, _ in rows]
        self.rows = nn.ModuleList(layer for _, layer in rows)

    def forward(self, x):
        found = {}
        for name, layer in zip(self.names, self.rows, strict=True):
            x = layer(x)
            found[name] = x
        return {name: value for name, value in found.items() if name}


def _hidden(units, classes):
    return [
        (None, nn.Flatten()),
        ("fc6.linear", nn.Linear(256 * 6 * 6, units)),
        ("fc6.activation", nn.ReLU()),
        ("fc7.linear", nn.Linear(units, units)),
        ("fc7.activation", nn.ReLU()),
        ("fc8.linear", nn.Linear(units, classes)),
    ]


def caffe(*, pool_first, units=4096, classes=1000):
    """bvlc_alexnet or, with pooling before normalisation, bvlc_reference_caffenet."""

    def end(i):
        norm = (f"conv{i}.norm", nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0))
        pool = (f"conv{i}.pool", nn.MaxPool2d(3, 2, ceil_mode=True))
        return [pool, norm] if pool_first else [norm, pool]

    def conv(i, *arguments, **options):
        layer = nn.Conv2d(*arguments, **options)
        return [(f"conv{i}.linear", layer), (f"conv{i}.activation", nn.ReLU())]

    return Network(
        [
            *conv(1, 3, 96, 11, stride=4),
            *end(1),
            *conv(2, 96, 256, 5, padding=2, groups=2),
            *end(2),
            *conv(3, 256, 384, 3, padding=1),
            *conv(4, 384, 384, 3, padding=1, groups=2),
            *conv(5, 384, 256, 3, padding=1, groups=2),
            ("conv5.pool", nn.MaxPool2d(3, 2, ceil_mode=True)),
            *_hidden(units, classes),
        ]
    )


def torchvision(*, units=4096, classes=1000):
    """One tower without normalisation (models/alexnet.py, without dropout)."""

    def conv(i, *arguments, **options):
        layer = nn.Conv2d(*arguments, **options)
        return [(f"conv{i}.linear", layer), (f"conv{i}.activation", nn.ReLU())]

    return Network(
        [
            *conv(1, 3, 64, 11, stride=4, padding=2),
            ("conv1.pool", nn.MaxPool2d(3, 2)),
            *conv(2, 64, 192, 5, padding=2),
            ("conv2.pool", nn.MaxPool2d(3, 2)),
            *conv(3, 192, 384, 3, padding=1),
            *conv(4, 384, 256, 3, padding=1),
            *conv(5, 256, 256, 3, padding=1),
            ("conv5.pool", nn.MaxPool2d(3, 2)),
            (None, nn.AdaptiveAvgPool2d((6, 6))),
            *_hidden(units, classes),
        ]
    )


NETWORKS = {
    "caffe_alexnet": lambda: caffe(pool_first=False),
    "caffenet": lambda: caffe(pool_first=True),
    "torchvision_alexnet": torchvision,
}


def with_arrays(network, arrays):
    """The network with these weights, in testing."""
    layers = dict(zip(network.names, network.rows, strict=True))
    with torch.no_grad():
        for name, (weight, bias) in arrays.items():
            layers[f"{name}.linear"].weight.copy_(torch.from_numpy(weight))
            layers[f"{name}.linear"].bias.copy_(torch.from_numpy(bias))
    return network.eval()
