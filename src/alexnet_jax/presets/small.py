"""The network of 2012 for small images: digits, CIFAR-10, Tiny ImageNet."""

import dataclasses
from typing import Any

from alexnet_jax.config import (
    AugmentConfig,
    Config,
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
)
from alexnet_jax.presets.alexnet2012 import MODEL_145


def _narrow(
    model: ModelConfig, maps: tuple[int, ...], units: int, classes: int = 10
) -> ModelConfig:
    """The same network for small images: narrower, with 5x5 kernels at stride 1 in
    conv1. Initial kernels have the standard deviation sqrt(2 / inputs), which keeps the
    variance as in 145 (0.03 there is sqrt(2 / inputs) for conv3 to conv5)."""
    conv1, conv2, conv3, conv4, conv5 = maps

    def resized(layer: Any, features: int, inputs: int) -> Any:
        std = round((2 / inputs) ** 0.5, 3)
        return dataclasses.replace(layer, features=features, kernel_std=std)

    return dataclasses.replace(
        model,
        conv1=dataclasses.replace(
            model.conv1, features=conv1, kernel_size=5, stride=1, padding=(2, 2)
        ),
        conv2=resized(model.conv2, conv2, inputs=25 * conv1 // 2),
        conv3=resized(model.conv3, conv3, inputs=9 * conv2),
        conv4=resized(model.conv4, conv4, inputs=9 * conv3 // 2),
        conv5=resized(model.conv5, conv5, inputs=9 * conv4 // 2),
        fc6=dataclasses.replace(model.fc6, features=units),
        fc7=resized(model.fc7, units, inputs=units),
        fc8=resized(model.fc8, classes, inputs=units),
    )


DIGITS = Config(
    model=_narrow(MODEL_145, maps=(16, 32, 48, 48, 32), units=128),
    data=DataConfig(name="digits", image_size=28),
    augment=AugmentConfig(
        crop_size=24, horizontal_flip=False, color_shift="none"
    ),  # a mirrored digit is a different symbol
    optimizer=OptimizerConfig(schedule="epochs", drop_epochs=(30, 36)),
    batch_size=64,
    num_epochs=40,
    run=RunConfig(watchdog_steps=300),
)

CIFAR10 = Config(
    model=_narrow(MODEL_145, maps=(32, 64, 96, 96, 64), units=256),
    data=DataConfig(name="cifar10", image_size=32),
    augment=AugmentConfig(crop_size=28),
    optimizer=OptimizerConfig(schedule="cosine"),
    num_epochs=30,
    run=RunConfig(log_every_steps=50, watchdog_steps=2000),
)

# For ablations on one GPU: 64x64 images, half of 145's maps, a quarter of its units.
TINY_IMAGENET = Config(
    model=_narrow(MODEL_145, maps=(48, 128, 192, 192, 128), units=1024, classes=200),
    data=DataConfig(name="tiny_imagenet", eval_split="validation", image_size=64),
    augment=AugmentConfig(crop_size=56),
    optimizer=OptimizerConfig(schedule="cosine"),
    num_epochs=60,
    run=RunConfig(log_every_steps=50, watchdog_steps=2000),
)
