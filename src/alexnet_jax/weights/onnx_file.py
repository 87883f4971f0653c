"""ONNX files: the network in testing as a graph for other runtimes.

Tensors are NCHW, as ONNX has them. The input "view" is float32 `[batch, 3, crop,
crop]`, RGB, preprocessed; or, with the input's preprocessing in the graph, "image" is
uint8 `[batch, size, size, 3]`, RGB. The output is the last stage, "fc8.linear": logits
`[batch, classes]`. Nodes and their outputs have the names of the stages.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

import alexnet_jax
from alexnet_jax import augment
from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files
from alexnet_jax.weights import layouts, network_file, operations
from alexnet_jax.weights.network import Network
from alexnet_jax.weights.operations import (
    Activation,
    Conv,
    Dense,
    Factor,
    LocalNorm,
    MaxPool,
    Operation,
    SpatialNorm,
)

SUFFIX = ".onnx"
_OPSET, _IR_VERSION = 17, 8  # of 2022, which all runtimes in use read


def write(path: Path, network: Network, *, with_input: bool = False) -> None:
    """Writes `model` atomically."""
    content = model(network, with_input=with_input).SerializeToString()
    atomic_files.write_bytes(path, content)


def import_onnx(path: Path) -> Any:
    """The package onnx, for the file `path`; UserError if it is not installed."""
    try:
        import onnx  # pyright: ignore[reportMissingImports]  # optional
    except ImportError as error:
        raise UserError(f"{path}: ONNX files need onnx (pip install onnx).") from error
    return onnx


@dataclasses.dataclass
class _Graph:
    """A graph under construction."""

    onnx: Any
    last: str
    """The name of the newest tensor."""
    nodes: list[Any] = dataclasses.field(default_factory=list)
    arrays: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def add(self, kind: str, name: str, *constants: str, **attributes: Any) -> str:
        """Adds a node that computes the tensor `name` from the newest one."""
        inputs = [self.last, *constants]
        helper = self.onnx.helper
        self.nodes.append(
            helper.make_node(kind, inputs, [name], name=name, **attributes)
        )
        self.last = name
        return name

    def constant(self, name: str, array: Any, dtype: Any = np.float32) -> str:
        """Adds an array."""
        self.arrays[name] = np.asarray(array, dtype)
        return name


def model(network: Network, *, with_input: bool = False) -> Any:
    """The ModelProto of a network.

    Args:
        with_input: True for uint8 images as input, and their preprocessing in the
            graph.
    """
    onnx = import_onnx(Path(network.name))
    helper, types = onnx.helper, onnx.TensorProto
    crop, size = network.config.augment.crop_size, network.config.data.image_size
    start = helper.make_tensor_value_info("view", types.FLOAT, ["batch", 3, crop, crop])
    graph = _Graph(onnx, "view")
    if with_input:
        shape = ["batch", size, size, 3]
        start = helper.make_tensor_value_info("image", types.UINT8, shape)
        graph.last = "image"
        _add_input(graph, network)
    for name, array in layouts.from_params(network.params, _SAME).items():
        graph.constant(name, array)
    stages = operations.of_network(network)
    for operation in stages:
        _add(graph, operation)
    values = [
        helper.make_tensor_value_info(one.name, types.FLOAT, ["batch", *one.shape])
        for one in stages
    ]
    made = helper.make_graph(
        graph.nodes,
        "AlexNet",
        [start],
        values[-1:],
        [onnx.numpy_helper.from_array(*pair[::-1]) for pair in graph.arrays.items()],
        value_info=values[:-1],
    )
    return _with_metadata(onnx, made, network)


_SAME = {layer: layer for layer in layouts.LAYERS}


def _with_metadata(onnx: Any, graph: Any, network: Network) -> Any:
    proto = onnx.helper.make_model(
        graph,
        producer_name="alexnet_jax",
        producer_version=alexnet_jax.__version__,
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    _, text = network_file.to_arrays(network)
    onnx.helper.set_model_props(proto, {network_file.TEXT: text})
    return proto


def _add_input(graph: _Graph, network: Network) -> None:
    """Preprocessing as in `augment.center_view`: the centre, minus the mean, times the
    scale; then to NCHW."""
    size, crop = network.config.data.image_size, network.config.augment.crop_size
    first = (size - crop) // 2
    for name, ends in (("crop.starts", [first] * 2), ("crop.ends", [first + crop] * 2)):
        graph.constant(name, ends, np.int64)
    graph.constant("crop.axes", [1, 2], np.int64)
    graph.add("Slice", "crop", "crop.starts", "crop.ends", "crop.axes")
    graph.add("Cast", "pixels", to=graph.onnx.TensorProto.FLOAT)
    mean = augment.center_crop(network.mean_image, crop)
    graph.add("Sub", "minus_mean", graph.constant("mean", mean))
    scale = network.config.augment.pixel_scale
    graph.add("Mul", "scaled", graph.constant("scale", scale))
    graph.add("Transpose", "view", perm=[0, 3, 1, 2])


def _add(graph: _Graph, operation: Operation) -> None:
    """Adds the nodes of one operation; the last one has its name."""
    name, kind = operation.name, operation.kind
    match kind:
        case Conv():
            _add_conv(graph, operation, kind)
        case LocalNorm():
            _add_local_norm(graph, operation, kind)
        case SpatialNorm():
            squares = _add_squares(graph, name)
            _add_mean(graph, name, kind.size, (kind.size, kind.size))
            _add_division(graph, name, kind, squares)
        case Activation():
            graph.add({"relu": "Relu", "tanh": "Tanh"}[kind.function], name)
        case MaxPool():
            _add_pool(graph, name, kind)
        case Dense():
            _add_dense(graph, operation, kind)
        case Factor():
            graph.add("Mul", name, graph.constant(f"{name}.value", kind.value))


def _add_conv(graph: _Graph, operation: Operation, conv: Conv) -> None:
    before, after = conv.padding
    graph.add(
        "Conv",
        operation.name,
        f"{operation.layer}.weight",
        f"{operation.layer}.bias",
        kernel_shape=[conv.kernel] * 2,
        strides=[conv.stride] * 2,
        pads=[before, before, after, after],
        group=conv.groups,
    )


def _add_pool(graph: _Graph, name: str, pool: MaxPool) -> None:
    # Not by ceil_mode, which runtimes take differently at the edge. Padding is minus
    # infinity.
    graph.add(
        "MaxPool",
        name,
        kernel_shape=[pool.window] * 2,
        strides=[pool.stride] * 2,
        pads=[0, 0, pool.overhang, pool.overhang],
    )


def _add_dense(graph: _Graph, operation: Operation, dense: Dense) -> None:
    name, layer = operation.name, operation.layer
    weight, bias = f"{layer}.weight", f"{layer}.bias"
    if dense.groups == 1:
        if layer == "fc6":
            graph.add("Flatten", f"{layer}.inputs", axis=1)
        graph.add("Gemm", name, weight, bias, transB=1)
        return
    # A convolution with kernels as large as the maps is the only product by groups.
    side = [dense.side] * 2
    _add_reshape(graph, f"{layer}.inputs", [-1, dense.maps, *side])
    shape = (dense.outputs, dense.maps // dense.groups, *side)
    graph.arrays[weight] = graph.arrays[weight].reshape(shape)
    graph.add("Conv", f"{layer}.maps", weight, bias, group=dense.groups)
    graph.add("Flatten", name, axis=1)


def _add_reshape(graph: _Graph, name: str, shape: list[int]) -> None:
    graph.add("Reshape", name, graph.constant(f"{name}.shape", shape, np.int64))


def _add_local_norm(graph: _Graph, operation: Operation, norm: LocalNorm) -> None:
    """Groups take the place of images, so that windows end at their edges."""
    name, (maps, height, width) = operation.name, operation.shape
    if norm.groups > 1:
        _add_reshape(graph, f"{name}.groups", [-1, norm.maps, height, width])
    inner = f"{name}.of_groups" if norm.groups > 1 else name
    if norm.size % 2:
        settings = {"alpha": norm.alpha, "beta": norm.beta, "bias": norm.k}
        graph.add("LRN", inner, size=norm.size, **settings)
    else:  # LRN has its windows one map further
        x = _add_squares(graph, inner)
        _add_reshape(graph, f"{inner}.rows", [-1, 1, norm.maps, height * width])
        _add_mean(graph, inner, norm.size, (norm.size, 1))
        _add_reshape(graph, f"{inner}.means", [-1, norm.maps, height, width])
        _add_division(graph, inner, norm, x)
    if norm.groups > 1:
        _add_reshape(graph, name, [-1, maps, height, width])


def _add_squares(graph: _Graph, name: str) -> str:
    """Returns the name of the tensor whose squares it adds."""
    x = graph.last
    graph.add("Mul", f"{name}.squares", x)
    return x


def _add_mean(graph: _Graph, name: str, size: int, window: tuple[int, int]) -> None:
    """The mean over windows around each value, with zeros beyond the edges."""
    before = [size // 2 if side > 1 else 0 for side in window]
    after = [side - 1 - first for side, first in zip(window, before, strict=True)]
    graph.add(
        "AveragePool",
        f"{name}.mean",
        kernel_shape=window,
        pads=before + after,
        count_include_pad=1,
    )


def _add_division(
    graph: _Graph, name: str, norm: LocalNorm | SpatialNorm, x: str
) -> None:
    """x * (k + alpha * the newest tensor)^-beta."""
    for kind, part, value in (
        ("Mul", "alpha", norm.alpha),
        ("Add", "k", norm.k),
        ("Pow", "power", -norm.beta),
    ):
        constant = graph.constant(f"{name}.{part}.value", value)
        graph.add(kind, f"{name}.{part}", constant)
    graph.add("Mul", name, x)
