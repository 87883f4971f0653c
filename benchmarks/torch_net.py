"""The network of 2012 in PyTorch, and its steps of training and evaluation.

`alexnet2012` without its spatial normalisation, for which PyTorch has no layer: grouped
convolutions, LocalResponseNorm, overlapping pooling, dropout. Network and images are on
the device that is compared with ours.
"""

import contextlib
from functools import partial
from typing import Any

from steps import Steps

from alexnet_jax.config import Config, ModelConfig
from alexnet_jax.errors import UserError


def device_like(backend: str) -> str:
    """PyTorch's name for the kind of device that JAX uses.

    Raises:
        UserError: PyTorch cannot use it, so nothing can be compared.
    """
    import torch

    if backend == "cpu":
        return "cpu"
    if backend != "gpu" or not torch.cuda.is_available():
        raise UserError(
            f"JAX uses {backend!r}, which torch {torch.__version__} cannot use; "
            "install a torch with CUDA, or set JAX_PLATFORMS=cpu."
        )
    return "cuda"


def network(model: ModelConfig) -> Any:
    """The eight layers as modules of PyTorch, with the numbers of maps of `model`."""
    from torch import nn

    convolutions = (model.conv1, model.conv2, model.conv3, model.conv4, model.conv5)
    c1, c2, c3, c4, c5 = (layer.features for layer in convolutions)
    f6, f7, f8 = (layer.features for layer in (model.fc6, model.fc7, model.fc8))
    norm = partial(nn.LocalResponseNorm, 5, alpha=1e-4, beta=0.75, k=2.0)
    return nn.Sequential(
        nn.ZeroPad2d((0, 3, 0, 3)),
        nn.Conv2d(3, c1, 11, stride=4),
        norm(),
        nn.MaxPool2d(3, 2),
        nn.ReLU(),
        nn.Conv2d(c1, c2, 5, padding=2, groups=2),
        nn.ReLU(),
        norm(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(c2, c3, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(c3, c4, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.Conv2d(c4, c5, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Flatten(),
        nn.Linear(36 * c5, f6),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(f6, f7),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(f7, f8),
    )


def steps(
    config: Config, *, device: str, channels_last: bool, compiled: bool = False
) -> dict[str, Steps]:
    """Ordinary PyTorch: cross entropy, SGD with momentum and weight decay.

    Precision bfloat16 is autocast; tf32 and float32 are PyTorch's settings of that
    name. On a GPU the optimizer is fused and cuDNN's algorithms are chosen by measured
    speed, as XLA's are.

    Args:
        config: batch size, numbers of maps and precision.
        device: PyTorch's name of it.
        compiled: True for torch.compile.
    """
    import torch

    on_gpu = device == "cuda"
    if on_gpu:
        _set_gpu_precision(config.model.precision)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    net = network(config.model).to(device, memory_format=layout)
    optimizer = torch.optim.SGD(
        net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=on_gpu
    )
    forward = torch.compile(net) if compiled else net
    shape = (config.batch_size, 3, 224, 224)
    images = torch.randn(shape, device=device).to(memory_format=layout)
    labels = torch.arange(len(images), device=device) % config.model.num_classes
    precision = _autocast(config.model.precision, device)
    wait = torch.cuda.synchronize if on_gpu else lambda: None

    def training(steps: int) -> None:
        net.train()
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            with precision():
                logits = forward(images)
                loss = torch.nn.functional.cross_entropy(logits, labels)
            loss.backward()
            optimizer.step()
        wait()

    def evaluating(steps: int) -> None:
        net.eval()
        with torch.inference_mode(), precision():
            for _ in range(steps):
                forward(images)
        wait()

    return {"train": training, "eval": evaluating}


def _set_gpu_precision(precision: str) -> None:
    """For the whole process: cuDNN uses TF32 unless told otherwise."""
    import torch

    tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = tf32
    torch.set_float32_matmul_precision("high" if tf32 else "highest")


def _autocast(precision: str, device: str) -> Any:
    import torch

    if precision != "bfloat16":
        return contextlib.nullcontext
    return partial(torch.autocast, device, torch.bfloat16)
