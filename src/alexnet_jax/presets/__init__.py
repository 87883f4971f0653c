"""The named configurations, with the source of each constant."""

from typing import Literal

from alexnet_jax.config import Config
from alexnet_jax.presets.alexnet2012 import ALEXNET2012, ALEXNET_PAPER
from alexnet_jax.presets.caffe import CAFFE_ALEXNET, CAFFENET
from alexnet_jax.presets.small import CIFAR10, DIGITS, TINY_IMAGENET
from alexnet_jax.presets.torchvision import TORCHVISION_ALEXNET

PresetName = Literal[
    "digits",
    "cifar10",
    "tiny_imagenet",
    "alexnet2012",
    "alexnet_paper",
    "caffe_alexnet",
    "caffenet",
    "torchvision_alexnet",
]
PRESETS: dict[str, Config] = {
    "digits": DIGITS,
    "cifar10": CIFAR10,
    "tiny_imagenet": TINY_IMAGENET,
    "alexnet2012": ALEXNET2012,
    "alexnet_paper": ALEXNET_PAPER,
    "caffe_alexnet": CAFFE_ALEXNET,
    "caffenet": CAFFENET,
    "torchvision_alexnet": TORCHVISION_ALEXNET,
}
