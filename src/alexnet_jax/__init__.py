"""AlexNet (Krizhevsky, Sutskever, Hinton, 2012) as it was, in JAX and Flax.

model = alexnet_jax.load("runs/")
model.predict("photo.jpg").top(5)
model.features(["one.jpg", "two.jpg"], ["conv5", "fc7"])
alexnet_jax.extract_features(model, "photos/", layers="fc7", output="fc7.npz")
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alexnet_jax.inference.feature_extraction import (
        extract_features as extract_features,
    )
    from alexnet_jax.inference.lpips import lpips as lpips
    from alexnet_jax.inference.lpips import lpips_heads as lpips_heads
    from alexnet_jax.inference.predictions import Predictions as Predictions
    from alexnet_jax.inference.trained_model import Model as Model
    from alexnet_jax.inference.trained_model import load as load

__version__ = "0.1.0"

# Importing the package stays cheap: JAX is imported when one of these is first used.
_HOMES = {
    "load": "inference.trained_model",
    "Model": "inference.trained_model",
    "Predictions": "inference.predictions",
    "extract_features": "inference.feature_extraction",
    "lpips": "inference.lpips",
    "lpips_heads": "inference.lpips",
}
__all__ = [
    "Model",
    "Predictions",
    "extract_features",
    "load",
    "lpips",
    "lpips_heads",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
