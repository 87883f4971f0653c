"""The configuration: frozen dataclasses whose fields are the toggles.

Constants of 2012 carry their source: the paper by section, the 2012 source release
("2012 code") by file; docs/paper_to_code.md says where the two differ. Each number has
its range in its type (`ranges`). The docstrings are the command line's help.
"""

from dataclasses import dataclass
from typing import Literal

from alexnet_jax.ranges import (
    Columns,
    Fraction,
    NonNegative,
    Positive,
    Seed,
    Signed,
    Threads,
)

Sees = Literal["image", "own", "both"]
Position = Literal["off", "before_activation", "after_activation", "after_pool"]
LayerName = Literal["conv3", "conv4", "conv5", "fc7"]

CONV_LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")
DENSE_LAYERS = ("fc6", "fc7", "fc8")


@dataclass(frozen=True, kw_only=True)
class Norm:
    """One response normalisation: y = x / (k + a * sum of x^2 over a window)^beta."""

    position: Position = "off"
    """Position in the layer; off means no normalisation."""
    size: Positive[int] = 5
    """Window: maps (response norm) or pixels per side (spatial norm)."""
    k: Positive[float] = 2.0
    """2 in 2012, 1 in Caffe and cuDNN."""
    alpha: NonNegative[float] = 1e-4
    """Chosen for activations of pixels on 0-255."""
    alpha_divided_by_n: bool = True
    """True: a = alpha / values in a full window (2012 code); False: a = alpha."""
    beta: NonNegative[float] = 0.75
    across_columns: bool = False
    """True lets a window of maps extend into the other column."""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Max-pooling; a window of 1 means no pooling."""

    window: Positive[int] = 1
    """Pixels per side."""
    stride: Positive[int] = 1
    """Pixels between neighbouring outputs; windows overlap if below the window."""
    ceil: bool = True
    """True keeps a last window that extends past the edge, as in 2012."""


@dataclass(frozen=True, kw_only=True)
class ConvLayer:
    """Convolution, activation, normalisations and pooling of one layer."""

    features: Positive[int]
    """Maps of all columns together."""
    kernel_size: Positive[int]
    """Pixels per side."""
    sees: Sees
    """image: not split into columns; own: a column sees its own maps; both: all."""
    stride: Positive[int] = 1
    """Pixels between neighbouring outputs."""
    padding: tuple[NonNegative[int], NonNegative[int]] = (0, 0)
    """Zeros before (top, left) and after (bottom, right)."""
    kernel_std: NonNegative[float] = 0.01
    """Standard deviation of the Gaussian from which kernels are initialised."""
    bias: Signed = 0.0
    """Initial value of all biases."""
    local_norm: Norm = Norm()
    """Response normalisation over neighbouring maps."""
    spatial_norm: Norm = Norm()
    """Response normalisation over neighbouring pixels of one map."""
    pool: Pool = Pool()


@dataclass(frozen=True, kw_only=True)
class DenseLayer:
    """A fully connected layer."""

    features: Positive[int]
    """Units of all columns together; for fc8 the number of classes."""
    sees: Sees = "both"
    """own: a column sees its own units; both: all."""
    kernel_std: NonNegative[float] = 0.01
    """Standard deviation of the Gaussian from which kernels are initialised."""
    bias: Signed = 0.0
    """Initial value of all biases."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network: its layers, and what they have in common."""

    conv1: ConvLayer
    conv2: ConvLayer
    conv3: ConvLayer
    conv4: ConvLayer
    conv5: ConvLayer
    fc6: DenseLayer
    fc7: DenseLayer
    fc8: DenseLayer
    num_columns: Columns = 2
    """2 as in the paper; 1 means no columns."""
    without: tuple[LayerName, ...] = ()
    """Layers to leave out (their pooling stays)."""
    activation: Literal["relu", "tanh"] = "relu"
    """Of all layers except the last."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """Of activations and products; parameters, sums and the loss are float32."""
    dropout: Literal["2012", "inverted", "mean"] = "2012"
    """2012: a mask in training, its mean as a factor in testing; inverted: the mask
    divided by its mean in training; mean: no mask, its mean in training too. Without
    mask and factor: dropout_rate 0."""
    dropout_rate: Fraction = 0.5
    """Fraction of the units of fc6 and fc7 that are dropped (paper, section 4.2)."""

    @property
    def num_classes(self) -> int:
        return self.fc8.features


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The images. Pixels are RGB on 0-255 everywhere."""

    name: str
    """Any tfds dataset with features 'image' and 'label'."""
    folder: str | None = None
    """Images in class folders instead: PATH/CLASS, or CLASS in PATH/train, PATH/val."""
    held_out: Fraction = 0.1
    """Fraction of each class to evaluate on, if the folder has no val/ or test/."""
    train_split: str = "train"
    """The split to train on, or a tfds expression for one."""
    eval_split: str = "test"
    """The split to evaluate on."""
    data_dir: str | None = None
    """The tfds data directory. None means the default of tfds."""
    image_size: Positive[int]
    """Side of the square images; others are scaled by the shorter side and cropped."""
    squash: bool = False
    """True scales the whole image to the square instead, as for Caffe's networks."""
    bilinear: bool = False
    """True scales by Pillow's bilinear filter, before the crop, as torchvision does."""
    label: str = "label"
    """The feature that holds the class."""
    stored: Literal["auto", "records", "raw", "memory"] = "auto"
    """Source of the pixels. records: decoded when needed; raw: read from the raw pixels
    beside the records (prepare --raw); memory: decoded once. auto: raw if they exist,
    else memory for a small dataset, else records."""
    damaged: Literal["stop", "skip"] = "stop"
    """stop: a damaged record ends the run; skip: it is left out and counted."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Augmentation of a training batch, on the device."""

    crop_size: Positive[int]
    """Side of the crop that the network sees."""
    pixel_scale: (
        Positive[float] | tuple[Positive[float], Positive[float], Positive[float]]
    ) = 1.0
    """Factor on the input, one or one per colour. 1 means 0-255, as in 2012."""
    random_crop: bool = True
    """True crops at random positions, False at the centre."""
    horizontal_flip: bool = True
    """True mirrors half of the images, at random."""
    shared_by: Positive[int] = 1
    """Consecutive images that share one crop and flip; 32 in 2012."""
    color_shift: Literal["2012", "paper", "none"] = "2012"
    """PCA colour shift as in the 2012 code or as in the paper's text."""
    color_shift_std: NonNegative[float] = 0.1
    """Standard deviation of each component's factor (paper, section 4.1)."""
    color_shift_divisor: Positive[float] = 1.1
    """Divisor of a shifted image in variant 2012 (2012 code, convdata_jpeg.py)."""
    color_shift_until: NonNegative[float] | None = None
    """Epoch at which the colour shift ends. None means never."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Momentum descent with rate and decay inside the velocity, and its schedule."""

    learning_rate: Positive[float] = 0.01
    """Initial rate of kernels (paper, section 5)."""
    bias_learning_rate: NonNegative[float] = 0.02
    """Initial rate of biases (2012 code, layer-params-145.cfg, epsB)."""
    momentum: Fraction = 0.9
    """Fraction of the velocity that a step keeps (paper, section 5)."""
    weight_decay: NonNegative[float] = 0.0005
    """Of kernels; biases have none (paper, section 5)."""
    schedule: Literal["constant", "plateau", "epochs", "levels", "cosine"]
    """plateau: a drop when validation error stalls; epochs: drops at given epochs;
    levels: equal parts of the run, evenly spaced in the logarithm; cosine: to 0."""
    drop_factor: Positive[float] = 10.0
    """Divisor of the rate at each drop of plateau and epochs (paper, section 5)."""
    max_bias_drops: NonNegative[int] = 1
    """Drops that the bias rate follows (2012 code, run4.sh: 0.02, then 0.002)."""
    drop_epochs: tuple[NonNegative[float], ...] = ()
    """Epochs of the drops (schedule epochs)."""
    plateau_patience: Positive[int] = 5
    """Evaluations without improvement before a drop (schedule plateau)."""
    plateau_min_improvement: Fraction = 0.001
    """Decrease of top-1 error, as a fraction, that counts as improvement."""
    plateau_max_drops: NonNegative[int] = 3
    """The rate was reduced three times in 2012 (paper, section 5)."""
    levels: Positive[int] = 4
    """Levels of the kernel rate (2012 code, layer-params-170.cfg, numSteps)."""
    levels_factor: Positive[float] = 250.0
    """First level over last (2012 code, layer-params-170.cfg, tgtFactor)."""
    bias_levels: Positive[int] = 2
    """Levels of the bias rate (same source)."""
    bias_levels_factor: Positive[float] = 10.0
    """First level over last of the bias rate (same source)."""
    layer_rates: tuple[tuple[str, NonNegative[float], NonNegative[float]], ...] = ()
    """(layer, epoch, rate): the rate of the layer's kernel and bias from that epoch on;
    0 freezes the layer. The last entry that has begun applies."""
    layer_multipliers: tuple[str, ...] = ()
    """LAYER:FACTOR, such as conv1:0 fc8:10: factors on the rates that the schedule
    gives a layer; 0 freezes it."""


@dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """The grid of devices. It changes where numbers are computed, never which."""

    data: Positive[int] | None = None
    """Devices along the batch. None means all that the columns leave."""
    column: Columns | None = None
    """Devices along the columns: 1 or their number. None: the latter if it divides."""
    cpu_devices: Threads | None = None
    """Virtual CPU devices per process. None means 2; 1 of several, or on one core."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How to run. Nothing here changes the result, so a resumed run may change it."""

    mesh: MeshConfig = MeshConfig()
    num_workers: Threads | None = None
    """Decoding threads. None means one per core."""
    log_every_steps: Positive[int] = 20
    """Steps per line of the log."""
    keep_checkpoints: Positive[int] = 3
    """Newest checkpoints to keep, besides the best."""
    checkpoint_minutes: Positive[float] | None = None
    """Also saves within an epoch, this many minutes after the last checkpoint."""
    start_over: bool = False
    """True starts from step 0 where all checkpoints are lost or damaged, and moves the
    rest to before_start_over-1. No effect where the run can resume."""
    deterministic: bool = False
    """True forbids GPU operations whose result varies from run to run; slower."""
    max_minutes: Positive[float] | None = None
    """Saves and ends after this many minutes, with code 75. None means no limit."""
    watchdog_steps: Positive[int] = 5000
    """Steps after which to warn if the loss is still at chance, ln(classes)."""
    compilation_cache: str = "auto"
    """Folder of compiled programs, for a faster start. auto: JAX_COMPILATION_CACHE_DIR,
    or alexnet_jax/xla in XDG_CACHE_HOME, else ~/.cache; off: none."""
    distributed: str = "auto"
    """Several processes as one run. auto: those of SLURM, Open MPI, Kubernetes or a TPU
    pod, or of JAX_COORDINATOR_ADDRESS; off; or HOST:PORT of process 0."""
    num_processes: Positive[int] | None = None
    """With HOST:PORT. None means JAX_NUM_PROCESSES, or what the launcher says."""
    process_index: NonNegative[int] | None = None
    """With HOST:PORT, from 0. None means JAX_PROCESS_ID, or what the launcher says."""
    peer_timeout: Positive[float] = 60.0
    """Seconds without a sign of life of another process after which this one stops."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole experiment; the same object gives the same parameters on any machine."""

    batch_size: Positive[int] = 128
    """Images per step, on all devices together (paper, section 5)."""
    microbatches: Positive[int] = 1
    """Parts of a batch that are computed one after the other, to save memory. The
    update is the same up to rounding and the random numbers of dropout."""
    num_epochs: Positive[float]
    """Passes over the training set."""
    seed: Seed = 0
    """Seed of initial values, image order, augmentation and dropout."""
    init_from: str | None = None
    """Starts from the parameters of this weights file, run directory or network of the
    package, layer by layer; fc8 is new where the classes are others."""
    data: DataConfig
    augment: AugmentConfig
    optimizer: OptimizerConfig
    run: RunConfig = RunConfig()
    model: ModelConfig
