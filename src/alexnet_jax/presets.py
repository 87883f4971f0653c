"""The named configurations, each constant with its source.

`alexnet2012` is configuration 145 of the 2012 source release, which produced the
paper's single-network figures; `alexnet_paper` is the paper's text; `digits`, `cifar10`
and `tiny_imagenet` are the same eight layers for small images; `relatives` has those of
Caffe and torchvision. [P] is the paper, by section, [S] the 2012 source release, by
file.
"""

import dataclasses
from typing import Literal

from alexnet_jax.config import (
    AugmentConfig,
    Config,
    ConvLayer,
    DataConfig,
    DenseLayer,
    ModelConfig,
    Norm,
    OptimizerConfig,
    Pool,
    RunConfig,
)
from alexnet_jax.relatives import CAFFE_ALEXNET, CAFFENET, TORCHVISION_ALEXNET

# --- the network that produced the paper's figures: configuration 145 -----------------

# [S] layers-145.cfg and layer-params-145.cfg: rnorm1, rnorm2 (scale, pow, minDiv).
_LOCAL_NORM_145 = Norm(place="after_activation")
# [S] cnorm2, which the paper does not mention: 5x5 pixels of one map, no minDiv.
_SPATIAL_NORM_145 = Norm(place="after_activation", size=5, k=1.0, alpha=1e-3)
_OVERLAPPING = Pool(window=3, stride=2)  # [P] 3.4

_MODEL_145 = ModelConfig(
    conv1=ConvLayer(
        features=96,
        kernel_size=11,
        stride=4,
        padding=(0, 3),  # [S] layer.py: map sizes round up, pixels outside are 0
        sees="image",
        # [S] layers-145.cfg: linear convolution, rnorm1, max-pool with ReLU. ReLU and
        # max commute, so this is normalisation before activation.
        local_norm=dataclasses.replace(_LOCAL_NORM_145, place="before_activation"),
        pool=_OVERLAPPING,
    ),
    conv2=ConvLayer(
        features=256,
        kernel_size=5,
        padding=(2, 2),
        sees="own",
        bias=1.0,  # [P] 5
        local_norm=_LOCAL_NORM_145,
        spatial_norm=_SPATIAL_NORM_145,
        pool=_OVERLAPPING,
    ),
    # [S] layers-145.cfg: initW=0.03 in conv3 to conv5; the text has 0.01 everywhere.
    conv3=ConvLayer(
        features=384, kernel_size=3, padding=(1, 1), sees="both", kernel_std=0.03
    ),
    conv4=ConvLayer(
        features=384,
        kernel_size=3,
        padding=(1, 1),
        sees="own",
        kernel_std=0.03,
        bias=1.0,
    ),
    conv5=ConvLayer(
        features=256,
        kernel_size=3,
        padding=(1, 1),
        sees="own",
        kernel_std=0.03,
        bias=1.0,
        pool=_OVERLAPPING,
    ),
    fc6=DenseLayer(features=4096, bias=1.0),
    fc7=DenseLayer(features=4096, bias=1.0),
    fc8=DenseLayer(features=1000),
)

ALEXNET2012 = Config(
    model=_MODEL_145,
    data=DataConfig(
        name="imagenet2012_256", eval_split="validation", image_size=256
    ),  # [P] 2
    augment=AugmentConfig(
        crop_size=224,  # [P] 4.1
        color_shift_until=67,  # [S] layer-params-145.cfg, "set color noise to 0"
    ),
    optimizer=OptimizerConfig(
        schedule="epochs",
        drop_epochs=(25, 51, 79),  # [S] layer-params-145.cfg
        # [S] layer-params-145.cfg: conv1 slowed, then epsW = epsB = 0.
        layer_rates=(("conv1", 67, 1e-5), ("conv1", 72, 0.0)),
    ),
    num_epochs=91,  # [S] layer-params-145.cfg, "epoch 91: killed"
    run=RunConfig(log_every_steps=100),
)


# --- the paper's text -----------------------------------------------------------------

_NORM_OF_TEXT = Norm(place="after_activation", alpha_divided_by_n=False)  # [P] 3.3
_MODEL_OF_TEXT = dataclasses.replace(
    _MODEL_145,
    conv1=dataclasses.replace(_MODEL_145.conv1, local_norm=_NORM_OF_TEXT),
    conv2=dataclasses.replace(
        _MODEL_145.conv2, local_norm=_NORM_OF_TEXT, spatial_norm=Norm()
    ),
    conv3=dataclasses.replace(_MODEL_145.conv3, kernel_std=0.01),  # [P] 5
    conv4=dataclasses.replace(_MODEL_145.conv4, kernel_std=0.01),
    conv5=dataclasses.replace(_MODEL_145.conv5, kernel_std=0.01),
)

ALEXNET_PAPER = dataclasses.replace(
    ALEXNET2012,
    model=_MODEL_OF_TEXT,
    augment=AugmentConfig(crop_size=224, color_shift="paper"),
    optimizer=OptimizerConfig(
        schedule="plateau",
        bias_learning_rate=0.01,  # [P] 5: an equal learning rate for all layers
        max_bias_drops=3,
    ),
    num_epochs=90,  # [P] 5: roughly 90 cycles
)


# --- the same eight layers for small images -------------------------------------------


def _narrow(
    model: ModelConfig, maps: tuple[int, ...], units: int, classes: int = 10
) -> ModelConfig:
    """The same network for small images: narrower, with 5x5 kernels at stride 1 in
    conv1, and kernels that start with the standard deviation that keeps the variance
    of 145's layers (0.03 is sqrt(2 / inputs) for conv3 to conv5)."""
    conv1, conv2, conv3, conv4, conv5 = maps

    def std(inputs: int) -> float:
        return round((2 / inputs) ** 0.5, 3)

    return dataclasses.replace(
        model,
        conv1=dataclasses.replace(
            model.conv1, features=conv1, kernel_size=5, stride=1, padding=(2, 2)
        ),
        conv2=dataclasses.replace(
            model.conv2, features=conv2, kernel_std=std(25 * conv1 // 2)
        ),
        conv3=dataclasses.replace(
            model.conv3, features=conv3, kernel_std=std(9 * conv2)
        ),
        conv4=dataclasses.replace(
            model.conv4, features=conv4, kernel_std=std(9 * conv3 // 2)
        ),
        conv5=dataclasses.replace(
            model.conv5, features=conv5, kernel_std=std(9 * conv4 // 2)
        ),
        fc6=dataclasses.replace(model.fc6, features=units),
        fc7=dataclasses.replace(model.fc7, features=units, kernel_std=std(units)),
        fc8=dataclasses.replace(model.fc8, features=classes, kernel_std=std(units)),
    )


DIGITS = Config(
    model=_narrow(_MODEL_145, maps=(16, 32, 48, 48, 32), units=128),
    data=DataConfig(name="digits", image_size=28),
    augment=AugmentConfig(
        crop_size=24, horizontal_flip=False, color_shift="none"
    ),  # a mirrored digit is another sign
    optimizer=OptimizerConfig(schedule="epochs", drop_epochs=(30, 36)),
    batch_size=64,
    num_epochs=40,
    run=RunConfig(watchdog_steps=300),
)

CIFAR10 = Config(
    model=_narrow(_MODEL_145, maps=(32, 64, 96, 96, 64), units=256),
    data=DataConfig(name="cifar10", image_size=32),
    augment=AugmentConfig(crop_size=28),
    optimizer=OptimizerConfig(schedule="cosine"),
    num_epochs=30,
    run=RunConfig(log_every_steps=50, watchdog_steps=2000),
)

# For ablations on one GPU: 64x64 images, half of 145's maps, a quarter of its units.
TINY_IMAGENET = Config(
    model=_narrow(_MODEL_145, maps=(48, 128, 192, 192, 128), units=1024, classes=100),
    data=DataConfig(name="tiny_imagenet_100", eval_split="validation", image_size=64),
    augment=AugmentConfig(crop_size=56),
    optimizer=OptimizerConfig(schedule="cosine"),
    num_epochs=60,
    run=RunConfig(log_every_steps=50, watchdog_steps=2000),
)

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
