"""Checks of a configuration before any work: one clear message each, as `UserError`.

Also the map sizes of a network, which are arithmetic on its configuration.
"""

from alexnet_jax.config import (
    CONV_LAYERS,
    DENSE_LAYERS,
    Config,
    ConvLayer,
    DenseLayer,
    ModelConfig,
    Pool,
)
from alexnet_jax.errors import UserError

_MOST = 1_000_000  # of anything: more is a slip, or an attack on the memory
_MOST_COLUMNS = 64  # each is an operation of its own in every layer


def conv_layers(model: ModelConfig) -> dict[str, ConvLayer]:
    """The convolutional layers by name, from the image up, absent ones included."""
    layers = (model.conv1, model.conv2, model.conv3, model.conv4, model.conv5)
    return dict(zip(CONV_LAYERS, layers, strict=True))


def dense_layers(model: ModelConfig) -> dict[str, DenseLayer]:
    """The fully connected layers by name, absent ones included."""
    layers = (model.fc6, model.fc7, model.fc8)
    return dict(zip(DENSE_LAYERS, layers, strict=True))


def map_sizes(model: ModelConfig, crop_size: int) -> dict[str, tuple[int, int]]:
    """Side of the maps of each convolutional layer, before and after its pooling.

    n pixels give floor((n + padding - kernel) / stride) + 1 under convolution; see
    `pooling.max_pool` for pooling. alexnet2012 at 224: 55/27, 27/13, 13, 13, 13/6.
    """
    sizes = {}
    size = crop_size
    for name, layer in conv_layers(model).items():
        if name not in model.without:
            padded = size + sum(layer.padding)
            size = (padded - layer.kernel_size) // layer.stride + 1
        pooled = _pooled(size, layer.pool)
        sizes[name] = (size, pooled)
        size = pooled
    return sizes


def _pooled(size: int, pool: Pool) -> int:
    steps = size - pool.window
    return (-(-steps // pool.stride) if pool.ceil else steps // pool.stride) + 1


def check_config(config: Config) -> None:
    """Raises UserError for what can be seen from the configuration alone."""
    _check_numbers(config)
    _check_columns(config.model)
    crop, stored = config.augment.crop_size, config.data.image_size
    if crop > stored:
        raise UserError(
            f"--augment.crop-size {crop} is larger than the stored images "
            f"(--data.image-size {stored}): make the crop smaller or the images larger."
        )
    for name, (size, pooled) in map_sizes(config.model, crop).items():
        if min(size, pooled) < 1:
            raise UserError(
                f"the maps of {name} vanish: {size} pixels a side, {pooled} after "
                f"pooling, from a crop of {crop}. Make --augment.crop-size larger, or "
                f"--model.{name}.stride or --model.{name}.pool.window smaller."
            )
    for layer, _, _ in config.optimizer.layer_rates:
        if layer not in CONV_LAYERS + DENSE_LAYERS:
            raise UserError(
                f"--optimizer.layer-rates names {layer!r}: the layers are "
                f"{', '.join(CONV_LAYERS + DENSE_LAYERS)}."
            )


def _check_numbers(config: Config) -> None:
    positive = {
        "--batch-size": config.batch_size,
        "--microbatches": config.microbatches,
        "--num-epochs": config.num_epochs,
        "--model.num-columns": config.model.num_columns,
        "--data.image-size": config.data.image_size,
        "--augment.crop-size": config.augment.crop_size,
        "--augment.shared-by": config.augment.shared_by,
        "--run.log-every-steps": config.run.log_every_steps,
        "--run.keep-checkpoints": config.run.keep_checkpoints,
        "--optimizer.levels": config.optimizer.levels,
        "--optimizer.bias-levels": config.optimizer.bias_levels,
        "--optimizer.drop-factor": config.optimizer.drop_factor,
    }
    for name, layer in conv_layers(config.model).items():
        positive[f"--model.{name}.features"] = layer.features
        positive[f"--model.{name}.stride"] = layer.stride
        positive[f"--model.{name}.kernel-size"] = layer.kernel_size
        positive[f"--model.{name}.pool.window"] = layer.pool.window
        positive[f"--model.{name}.pool.stride"] = layer.pool.stride
        positive[f"--model.{name}.local-norm.size"] = layer.local_norm.size
        positive[f"--model.{name}.spatial-norm.size"] = layer.spatial_norm.size
        if not 0 <= min(layer.padding) <= max(layer.padding) < _MOST:
            raise UserError(
                f"--model.{name}.padding {layer.padding[0]} {layer.padding[1]} must be "
                "0 or more."
            )
    for name, dense in dense_layers(config.model).items():
        positive[f"--model.{name}.features"] = dense.features
    optional = {
        "--run.mesh.data": config.run.mesh.data,
        "--run.mesh.column": config.run.mesh.column,
        "--run.mesh.cpu-devices": config.run.mesh.cpu_devices,
        "--run.num-workers": config.run.num_workers,
        "--run.max-minutes": config.run.max_minutes,
    }
    positive |= {name: value for name, value in optional.items() if value is not None}
    scale = config.augment.pixel_scale
    positive["--augment.pixel-scale"] = (
        min(scale) if isinstance(scale, tuple) else scale
    )
    for name, value in positive.items():
        if not value > 0:
            raise UserError(f"{name} {value} must be greater than 0.")
        if value > _MOST:
            raise UserError(f"{name} {value:.4g} is more than {_MOST:,}.")
    if not 0 <= config.model.dropout_rate < 1:
        rate = config.model.dropout_rate
        raise UserError(f"--model.dropout-rate {rate} must be from 0 to below 1.")


def _check_columns(model: ModelConfig) -> None:
    if model.num_columns > _MOST_COLUMNS:
        raise UserError(
            f"--model.num-columns {model.num_columns} is more than {_MOST_COLUMNS}."
        )
    dense = dense_layers(model)
    for name, layer in (conv_layers(model) | dense).items():
        must_split = name != "fc8" or layer.sees == "own"
        if layer.features < 1 or (must_split and layer.features % model.num_columns):
            raise UserError(
                f"--model.{name}.features {layer.features} does not split into "
                f"{model.num_columns} columns (--model.num-columns)."
            )
    for name, layer in list((conv_layers(model) | dense).items())[1:]:
        if layer.sees == "image":
            raise UserError(
                f"--model.{name}.sees image: only conv1 sees the image; the choice "
                "is own or both."
            )
    if model.conv1.sees != "image":
        raise UserError(
            f"--model.conv1.sees {model.conv1.sees}: the image has no columns, so "
            "conv1 sees image."
        )


def check_batch(config: Config, data_devices: int) -> None:
    """Raises UserError if the batch does not split over the devices along `data`, or
    that of a device not into microbatches."""
    if config.batch_size % data_devices:
        raise UserError(
            f"--batch-size {config.batch_size} does not split over {data_devices} "
            "devices (--run.mesh.data): make it a multiple."
        )
    each = config.batch_size // data_devices
    if each % config.microbatches:
        raise UserError(
            f"--microbatches {config.microbatches} does not divide the {each} images "
            f"of a device (--batch-size {config.batch_size}): make it a divisor."
        )


def check_labels(config: Config, dataset: str, dataset_classes: int | None) -> None:
    """Raises UserError if the dataset has more classes than the network."""
    if dataset_classes is not None and dataset_classes > config.model.num_classes:
        raise UserError(
            f"dataset {dataset} has {dataset_classes} classes and the network "
            f"{config.model.num_classes}: use --model.fc8.features {dataset_classes}."
        )
