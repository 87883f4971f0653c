"""The configuration: frozen dataclasses whose fields are the toggles.

Defaults that are constants of 2012 carry their source: the paper (NIPS 2012) by
section, the 2012 source release ("2012 code") by file. Where the two differ, see
docs/paper_to_code.md; `presets` has the named configurations. Standard library only, so
that reading a configuration costs nothing. The docstrings are the command line's help.
"""

from dataclasses import dataclass
from typing import Literal

Sees = Literal["image", "own", "both"]
Position = Literal["off", "before_activation", "after_activation", "after_pool"]
LayerName = Literal["conv3", "conv4", "conv5", "fc7"]

CONV_LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")
DENSE_LAYERS = ("fc6", "fc7", "fc8")


@dataclass(frozen=True, kw_only=True)
class Norm:
    """One response normalisation: y = x / (k + a * sum of x^2 over a window)^beta."""

    position: Position = "off"
    """Where in the layer it stands; off leaves it out."""
    size: int = 5
    """Window: maps (response norm) or pixels a side (spatial norm)."""
    k: float = 2.0
    """2 in 2012, 1 in Caffe and cuDNN."""
    alpha: float = 1e-4
    """Meant for activations of pixels on 0-255."""
    alpha_divided_by_n: bool = True
    """Whether a = alpha / (values in a full window), as the 2012 code has it; the
    paper's text has a = alpha."""
    beta: float = 0.75
    across_columns: bool = False
    """Whether a window of maps may reach into the other column."""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Max-pooling; a window of 1 is none."""

    window: int = 1
    """Pixels a side."""
    stride: int = 1
    """Pixels between neighbouring outputs; less than the window overlaps."""
    ceil: bool = True
    """Whether a last window that hangs over the edge counts, as in 2012."""


@dataclass(frozen=True, kw_only=True)
class ConvLayer:
    """Convolution, activation, normalisations and pooling of one layer."""

    features: int
    """Maps of both columns together."""
    kernel_size: int
    """Pixels a side."""
    sees: Sees
    """image: not split into columns; own: a column sees its own maps; both: all."""
    stride: int = 1
    """Pixels between neighbouring outputs."""
    padding: tuple[int, int] = (0, 0)
    """Zeros before (top, left) and after (bottom, right)."""
    kernel_std: float = 0.01
    """Standard deviation of the Gaussian that kernels start from."""
    bias: float = 0.0
    """Initial value of all biases."""
    local_norm: Norm = Norm()
    """Response normalisation over neighbouring maps."""
    spatial_norm: Norm = Norm()
    """Response normalisation over neighbouring pixels of one map."""
    pool: Pool = Pool()


@dataclass(frozen=True, kw_only=True)
class DenseLayer:
    """A fully connected layer."""

    features: int
    """Units of both columns together; of fc8: the number of classes."""
    sees: Sees = "both"
    """own: a column sees its own units; both: all."""
    kernel_std: float = 0.01
    """Standard deviation of the Gaussian that kernels start from."""
    bias: float = 0.0
    """Initial value of all biases."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network. Its toggles are the fields of its layers and these."""

    conv1: ConvLayer
    conv2: ConvLayer
    conv3: ConvLayer
    conv4: ConvLayer
    conv5: ConvLayer
    fc6: DenseLayer
    fc7: DenseLayer
    fc8: DenseLayer
    num_columns: int = 2
    """2 as in the paper, or 1: no columns."""
    without: tuple[LayerName, ...] = ()
    """Layers to leave out (their pooling stays)."""
    activation: Literal["relu", "tanh"] = "relu"
    """Of all layers but the last."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """Of the activations and of what the kernels are multiplied in. Parameters,
    normalisation sums and the loss are float32 in any case."""
    dropout: Literal["2012", "inverted", "none"] = "2012"
    """2012: a plain mask in training and a factor in testing; inverted: the reverse."""
    dropout_rate: float = 0.5
    """Share of the units of fc6 and fc7 that drop out (paper, section 4.2)."""

    @property
    def num_classes(self) -> int:
        return self.fc8.features


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which images. Pixels are RGB, 0-255, everywhere."""

    name: str
    """Any tfds dataset with features 'image' and 'label'."""
    train_split: str = "train"
    """The split, or tfds's expression for one, to train on."""
    eval_split: str = "test"
    """The split to evaluate on."""
    data_dir: str | None = None
    """The tfds data directory; none: tfds's own default."""
    image_size: int
    """Side of the square uint8 images that go to the device. Others are scaled to it
    (shorter side, then the centre)."""
    squash: bool = False
    """Scales others to the square whatever their proportions, all of the image, as for
    Caffe's networks."""
    label: str = "label"
    """The feature with the class."""
    stored: Literal["auto", "records", "raw", "memory"] = "auto"
    """Where pixels come from: encoded records, raw pixels beside them (prepare --raw),
    or memory once decoded; auto: raw, else memory for a small set, else records."""
    damaged: Literal["stop", "skip"] = "stop"
    """What a damaged record does: ends the run, or is left out and counted."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """What is done to a training batch on the device."""

    crop_size: int
    """Side of the crop that the network sees."""
    pixel_scale: float | tuple[float, float, float] = 1.0
    """By which the network's input is multiplied, or its red, green and blue; 1: pixels
    on 0-255, as in 2012."""
    random_crop: bool = True
    """Crops at random places; otherwise the centre."""
    horizontal_flip: bool = True
    """Mirrors half of the images."""
    shared_by: int = 1
    """Consecutive images that share one crop and flip; 32 in 2012."""
    color_shift: Literal["2012", "paper", "none"] = "2012"
    """PCA colour shift as the 2012 code has it or as the text has it."""
    color_shift_std: float = 0.1
    """Standard deviation of each component's factor (paper, section 4.1)."""
    color_shift_divisor: float = 1.1
    """By which form 2012 divides a shifted image (2012 code, convdata_jpeg.py)."""
    color_shift_until: float | None = None
    """Epoch at which the colour shift ends."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Momentum descent with rate and decay inside the velocity, and its schedule."""

    learning_rate: float = 0.01
    """Of kernels, at the start (paper, section 5)."""
    bias_learning_rate: float = 0.02
    """Of biases, at the start (2012 code, layer-params-145.cfg, epsB)."""
    momentum: float = 0.9
    """Share of the velocity that a step keeps (paper, section 5)."""
    weight_decay: float = 0.0005
    """Of kernels; biases have none (paper, section 5)."""
    schedule: Literal["constant", "plateau", "epochs", "levels", "cosine"]
    """plateau: a drop when validation error stalls; epochs: drops at given epochs;
    levels: equal parts of the run, evenly spaced in the logarithm; cosine: to 0."""
    drop_factor: float = 10.0
    """By which a drop of plateau and epochs divides the rate (paper, section 5)."""
    max_bias_drops: int = 1
    """Drops that the bias rate follows (2012 code, run4.sh: 0.02, then 0.002)."""
    drop_epochs: tuple[float, ...] = ()
    """Epochs of the drops (schedule epochs)."""
    plateau_patience: int = 5
    """Evaluations without improvement before a drop (schedule plateau)."""
    plateau_min_improvement: float = 0.001
    """Fall of top-1 error, a fraction, that counts as improvement."""
    plateau_max_drops: int = 3
    """The rate fell three times in 2012 (paper, section 5)."""
    levels: int = 4
    """Levels of the kernel rate (2012 code, layer-params-170.cfg, numSteps)."""
    levels_factor: float = 250.0
    """First level over last (2012 code, layer-params-170.cfg, tgtFactor)."""
    bias_levels: int = 2
    """The same of the bias rate."""
    bias_levels_factor: float = 10.0
    """The same of the bias rate."""
    layer_rates: tuple[tuple[str, float, float], ...] = ()
    """(layer, epoch, rate): from that epoch kernel and bias of the layer have that
    rate; 0 freezes it. The last one that has begun holds."""


@dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """The grid of devices. It changes where numbers are computed, never which."""

    data: int | None = None
    """Devices along the batch; none: all that the columns leave."""
    column: int | None = None
    """Devices along the columns, 1 or the number of columns; none: as many as fit."""
    cpu_devices: int | None = None
    """Virtual devices on a machine without accelerator; none: 2, or 1 on one core."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How to run. Nothing here changes the result, so a resumed run may change it."""

    mesh: MeshConfig = MeshConfig()
    num_workers: int | None = None
    """Decoding threads; none: one for each core."""
    log_every_steps: int = 20
    """Steps of one line of the log."""
    keep_checkpoints: int = 3
    """Newest checkpoints that are kept, besides the best."""
    deterministic: bool = False
    """Forbids GPUs operations whose result depends on chance, at a cost in speed: the
    same hardware then gives the same bits. CPUs do so anyhow."""
    max_minutes: float | None = None
    """Saves and ends after so many minutes, with exit code 75; none: no limit."""
    watchdog_steps: int = 5000
    """Steps after which a loss still at ln(classes) is remarked on."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole experiment; the same object gives the same parameters on any machine."""

    batch_size: int = 128
    """Images of one step, on all devices together (paper, section 5)."""
    microbatches: int = 1
    """Parts in which a batch is computed one after the other, to save memory. The
    update is the same but for rounding and the draws of dropout."""
    num_epochs: float
    """Passes over the training set."""
    seed: int = 0
    """Of initial values, order of the images, augmentation and dropout."""
    data: DataConfig
    augment: AugmentConfig
    optimizer: OptimizerConfig
    run: RunConfig = RunConfig()
    model: ModelConfig
