"""Question: how much faster do rectified units learn than tanh?

Paper: section 3.1 and Figure 1: six times, on CIFAR-10 with a four-layer net; see
`cuda_convnet.figure1` for that. Here the same question of the eight-layer net.
Fixed: network, data, recipe. Varies: the activation of all layers but the last.
Cost: one run of the base for each variant.
Command: python -m experiments.run --experiment activation
"""

from alexnet_jax.config import Config
from experiments.variants import Target, changed

BASELINE = "relu"
TARGETS: dict[str, Target] = {}


def variants(base: Config) -> dict[str, Config]:
    return {
        BASELINE: changed(base, {"model.activation": "relu"}),
        "tanh": changed(base, {"model.activation": "tanh"}),
    }
