"""Caffe's two networks called AlexNet, so that their weights can be used.

Preprocessing is theirs, and so is the recipe as far as `Config` can express it. [C] is
Caffe, models/bvlc_alexnet or models/bvlc_reference_caffenet, by file; [L] is its
lrn_layer.cpp and caffe.proto.
"""

import dataclasses
from functools import partial

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

_TRAIN_IMAGES = 1_281_167  # of ILSVRC 2012

# [L] k = 1 by default; alpha is divided by the size; windows cross group boundaries.
_NORM = Norm(
    position="after_activation",  # [C] bvlc_alexnet: relu1, norm1, pool1
    size=5,
    k=1.0,
    alpha=1e-4,
    beta=0.75,
    across_columns=True,
)
_POOL = Pool(window=3, stride=2)  # [C] pool1, pool2, pool5; sizes round up
_conv_3x3 = partial(ConvLayer, kernel_size=3, padding=(1, 1))


def _model(norm: Norm, bias: float) -> ModelConfig:
    """The network of both: they differ in normalisation and initial biases."""
    return ModelConfig(
        conv1=ConvLayer(
            features=96,
            kernel_size=11,
            stride=4,
            sees="image",
            local_norm=norm,
            pool=_POOL,
        ),
        conv2=ConvLayer(
            features=256,
            kernel_size=5,
            padding=(2, 2),
            sees="own",  # [C] group: 2
            bias=bias,
            local_norm=norm,
            pool=_POOL,
        ),
        conv3=_conv_3x3(features=384, sees="both"),
        conv4=_conv_3x3(features=384, sees="own", bias=bias),
        conv5=_conv_3x3(features=256, sees="own", bias=bias, pool=_POOL),
        fc6=DenseLayer(features=4096, kernel_std=0.005, bias=bias),
        fc7=DenseLayer(features=4096, kernel_std=0.005, bias=bias),
        fc8=DenseLayer(features=1000),
        dropout="inverted",
    )


# Deviation: Caffe subtracts from each crop the part of the mean image at the same
# offset; here it is the centre of the mean image, as in 2012. The centre crop of
# testing is the same.
CAFFE_ALEXNET = Config(
    model=_model(_NORM, bias=0.1),
    data=DataConfig(
        name="imagenet2012_256",
        eval_split="validation",
        image_size=256,
        squash=True,  # Caffe's ImageNet tutorial: all images are resized to 256x256
    ),
    # [C] train_val.prototxt: crop_size, mirror.
    augment=AugmentConfig(crop_size=227, color_shift="none"),
    optimizer=OptimizerConfig(
        schedule="epochs",
        # [C] solver.prototxt: stepsize 100000, batches of 256
        drop_epochs=tuple(
            round(steps * 256 / _TRAIN_IMAGES, 2)
            for steps in (100_000, 200_000, 300_000, 400_000)
        ),
        max_bias_drops=4,
    ),
    batch_size=256,
    num_epochs=round(450_000 * 256 / _TRAIN_IMAGES, 2),  # [C] max_iter
    run=RunConfig(log_every_steps=100),
)

# [C] bvlc_reference_caffenet: pool before norm, biases of 1 instead of 0.1.
CAFFENET = dataclasses.replace(
    CAFFE_ALEXNET,
    model=_model(dataclasses.replace(_NORM, position="after_pool"), bias=1.0),
)

CAFFE_MEAN = (122.679, 116.669, 104.007)
"""RGB on 0-255: Caffe's mean image averaged over its pixels, as the notebook
examples/00-classification prints it (in BGR order)."""
