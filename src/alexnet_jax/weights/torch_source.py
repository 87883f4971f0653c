"""The lines of a PyTorch module: one for each operation, in PyTorch's own words."""

from collections.abc import Sequence

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

_NORM_OF_GROUPS = '''

class LocalNorm(nn.LocalResponseNorm):
    """Response normalisation over neighbouring maps. Windows end at the borders of
    groups of maps: the columns of 2012, one on each GPU."""

    def __init__(self, size, alpha, beta, k, groups):
        super().__init__(size, alpha, beta, k)
        self.groups = groups

    def forward(self, x):
        batch, maps, height, width = x.shape
        groups = x.reshape(batch * self.groups, maps // self.groups, height, width)
        return super().forward(groups).reshape(x.shape)
'''
_NORM_OF_PIXELS = '''

class SpatialNorm(nn.Module):
    """Response normalisation over size x size pixels of the same map:
    x / (k + alpha * mean of x^2)^beta, with zeros beyond the edge."""

    def __init__(self, size, alpha, beta, k):
        super().__init__()
        before, after = size // 2, size - 1 - size // 2
        self.mean = nn.Sequential(
            nn.ZeroPad2d((before, after, before, after)), nn.AvgPool2d(size, stride=1)
        )
        self.alpha, self.beta, self.k = alpha, beta, k

    def forward(self, x):
        return x * (self.k + self.alpha * self.mean(x * x)) ** -self.beta
'''


def classes(operations: Sequence[Operation]) -> str:
    """The classes that PyTorch lacks, of those that the network needs."""
    kinds = [one.kind for one in operations]
    needed = ""
    if any(isinstance(kind, LocalNorm) and kind.groups > 1 for kind in kinds):
        needed += _NORM_OF_GROUPS
    if any(isinstance(kind, SpatialNorm) for kind in kinds):
        needed += _NORM_OF_PIXELS
    return needed


def layers(operations: Sequence[Operation]) -> str:
    """The assignments in __init__."""
    lines = []
    for one in operations:
        if isinstance(one.kind, Conv) and len(set(one.kind.padding)) > 1:
            edges = (*one.kind.padding, *one.kind.padding)
            lines.append(f"self.{pad_name(one)} = nn.ZeroPad2d({edges})")
        if not isinstance(one.kind, Factor):
            lines.append(f"self.{module_name(one)} = {_module(one)}")
    return "\n".join(lines)


def calls(operations: Sequence[Operation]) -> str:
    """The lines of forward: one for each layer, and its dropout's factor."""
    lines: list[str] = []
    for one in operations:
        name = f"self.{module_name(one)}"
        match one.kind:
            case Conv(padding=padding):
                padded = f"self.{pad_name(one)}(x)" if len(set(padding)) > 1 else "x"
                lines.append(f"x = {name}({padded})")
            case Dense():
                lines += _dense_calls(one, name)
            case Factor(value=value):
                lines.append(f"x = {value!r} * x  # the share that dropout kept")
            case _:
                lines.append(f"x = {name}(x)")
    return "\n".join(lines)


def _dense_calls(operation: Operation, name: str) -> list[str]:
    dense = operation.kind
    assert isinstance(dense, Dense)
    if dense.groups > 1:
        shape = f"-1, {dense.maps}, {dense.side}, {dense.side}"
        return [f"x = {name}(x.reshape({shape})).flatten(1)"]
    flat = "x.flatten(1)" if operation.layer == "fc6" else "x"
    return [f"x = {name}({flat})"]


def module_name(operation: Operation) -> str:
    """The name of a stage's module: conv1, relu1, norm1, pool1, fc6, relu6.

    The first of two normalisations of a layer is local_norm2 or spatial_norm2.
    """
    if operation.stage == "linear":
        return operation.layer
    stem = operation.stage
    if isinstance(operation.kind, Activation):
        stem = operation.kind.function
    return stem + operation.layer[-1]


def pad_name(operation: Operation) -> str:
    """The name of the module that pads a convolution's input."""
    return f"pad{operation.layer[-1]}"


def _module(operation: Operation) -> str:
    match operation.kind:
        case Conv() as conv:
            return _conv(conv)
        case LocalNorm(size=size, k=k, alpha=alpha, beta=beta, groups=groups):
            numbers = f"{size}, alpha={alpha!r}, beta={beta!r}, k={k!r}"
            if groups > 1:
                return f"LocalNorm({numbers}, groups={groups})"
            return f"nn.LocalResponseNorm({numbers})"
        case SpatialNorm(size=size, k=k, alpha=alpha, beta=beta):
            return f"SpatialNorm({size}, alpha={alpha!r}, beta={beta!r}, k={k!r})"
        case Activation(function=function):
            return {"relu": "nn.ReLU()", "tanh": "nn.Tanh()"}[function]
        case MaxPool(window=window, stride=stride, ceil=ceil):
            rounded = ", ceil_mode=True" if ceil else ""
            return f"nn.MaxPool2d({window}, stride={stride}{rounded})"
        case Dense(maps=maps, side=side, outputs=outputs, groups=groups):
            if groups > 1:
                return f"nn.Conv2d({maps}, {outputs}, {side}, groups={groups})"
            return f"nn.Linear({maps * side * side}, {outputs})"
    raise AssertionError(operation)


def _conv(conv: Conv) -> str:
    parts = [str(conv.inputs), str(conv.outputs), f"kernel_size={conv.kernel}"]
    if conv.stride > 1:
        parts.append(f"stride={conv.stride}")
    if len(set(conv.padding)) == 1 and conv.padding[0]:
        parts.append(f"padding={conv.padding[0]}")
    if conv.groups > 1:
        parts.append(f"groups={conv.groups}")
    return f"nn.Conv2d({', '.join(parts)})"
