"""torchvision's AlexNet, so that its weights can be used.

Preprocessing is torchvision's, and so is the training recipe as far as `Config` can
express it. [T] is torchvision, models/alexnet.py and references/classification.
"""

from functools import partial

from alexnet_jax.config import (
    AugmentConfig,
    Config,
    ConvLayer,
    DataConfig,
    DenseLayer,
    ModelConfig,
    OptimizerConfig,
    Pool,
    RunConfig,
)

TORCHVISION_MEAN = (0.485, 0.456, 0.406)
"""RGB on 0-1 ([T] presets.py)."""
TORCHVISION_STD = (0.229, 0.224, 0.225)
"""RGB on 0-1 ([T] presets.py)."""


def _std(inputs: int) -> float:
    """Standard deviation of PyTorch's initial kernels, uniform to 1 / sqrt(inputs)."""
    return round((3 * inputs) ** -0.5, 4)


_POOL_DOWN = Pool(window=3, stride=2, ceil=False)
_conv_3x3 = partial(ConvLayer, kernel_size=3, padding=(1, 1), sees="both")

# Deviation: [T] has dropout before fc6 and fc7, here it is after them; [T] starts from
# uniform kernels and biases, here kernels are Gaussian with the same standard deviation
# and biases are 0; [T] also decays biases and crops at random sizes. Testing is the
# same.
TORCHVISION_ALEXNET = Config(
    model=ModelConfig(
        num_columns=1,
        conv1=ConvLayer(
            features=64,
            kernel_size=11,
            stride=4,
            padding=(2, 2),
            sees="image",
            kernel_std=_std(11 * 11 * 3),
            pool=_POOL_DOWN,
        ),
        conv2=ConvLayer(
            features=192,
            kernel_size=5,
            padding=(2, 2),
            sees="both",
            kernel_std=_std(25 * 64),
            pool=_POOL_DOWN,
        ),
        conv3=_conv_3x3(features=384, kernel_std=_std(9 * 192)),
        conv4=_conv_3x3(features=256, kernel_std=_std(9 * 384)),
        conv5=_conv_3x3(features=256, kernel_std=_std(9 * 256), pool=_POOL_DOWN),
        fc6=DenseLayer(features=4096, kernel_std=_std(36 * 256)),
        fc7=DenseLayer(features=4096, kernel_std=_std(4096)),
        fc8=DenseLayer(features=1000, kernel_std=_std(4096)),
        dropout="inverted",
    ),
    data=DataConfig(
        name="imagenet2012_256",
        eval_split="validation",
        image_size=256,
        bilinear=True,  # [T] models/alexnet.py, ImageClassification, resize_size 256
    ),
    augment=AugmentConfig(
        crop_size=224,
        pixel_scale=tuple(1 / (255 * std) for std in TORCHVISION_STD),  # type: ignore
        color_shift="none",
    ),
    optimizer=OptimizerConfig(
        schedule="epochs",
        drop_epochs=(30, 60),  # [T] --lr-step-size 30
        bias_learning_rate=0.01,
        max_bias_drops=2,
        weight_decay=1e-4,
    ),
    batch_size=256,
    num_epochs=90,
    run=RunConfig(log_every_steps=100),
)
