"""The paper's network: as it ran (configuration 145) and as the text describes it.

`alexnet2012` is configuration 145 of the 2012 source release, which produced the
paper's single-network figures; `alexnet_paper` is the paper's text. [P] is the paper,
by section, [S] the 2012 source release, by file.
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

# --- the network that produced the paper's figures: configuration 145 -----------------

# [S] layers-145.cfg and layer-params-145.cfg: rnorm1, rnorm2 (scale, pow, minDiv).
_LOCAL_NORM_145 = Norm(position="after_activation")
# [S] cnorm2, which the paper does not mention: 5x5 pixels of one map, no minDiv.
_SPATIAL_NORM_145 = Norm(position="after_activation", size=5, k=1.0, alpha=1e-3)
_OVERLAPPING = Pool(window=3, stride=2)  # [P] 3.4
# [S] layers-145.cfg: initW=0.03 in conv3 to conv5; the text has 0.01 everywhere.
_conv_3x3 = partial(ConvLayer, kernel_size=3, padding=(1, 1), kernel_std=0.03)

MODEL_145 = ModelConfig(
    conv1=ConvLayer(
        features=96,
        kernel_size=11,
        stride=4,
        padding=(0, 3),  # [S] layer.py: map sizes round up, pixels outside are 0
        sees="image",
        # [S] layers-145.cfg: linear convolution, rnorm1, max-pool with ReLU. ReLU and
        # max commute, so this is normalisation before activation.
        local_norm=dataclasses.replace(_LOCAL_NORM_145, position="before_activation"),
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
    conv3=_conv_3x3(features=384, sees="both"),
    conv4=_conv_3x3(features=384, sees="own", bias=1.0),
    conv5=_conv_3x3(features=256, sees="own", bias=1.0, pool=_OVERLAPPING),
    fc6=DenseLayer(features=4096, bias=1.0),
    fc7=DenseLayer(features=4096, bias=1.0),
    fc8=DenseLayer(features=1000),
)

ALEXNET2012 = Config(
    model=MODEL_145,
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

_NORM_OF_TEXT = Norm(position="after_activation", alpha_divided_by_n=False)  # [P] 3.3
_MODEL_OF_TEXT = dataclasses.replace(
    MODEL_145,
    conv1=dataclasses.replace(MODEL_145.conv1, local_norm=_NORM_OF_TEXT),
    conv2=dataclasses.replace(
        MODEL_145.conv2, local_norm=_NORM_OF_TEXT, spatial_norm=Norm()
    ),
    conv3=dataclasses.replace(MODEL_145.conv3, kernel_std=0.01),  # [P] 5
    conv4=dataclasses.replace(MODEL_145.conv4, kernel_std=0.01),
    conv5=dataclasses.replace(MODEL_145.conv5, kernel_std=0.01),
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
