"""Question: How much faster do rectified units learn than tanh?

Paper: section 3.1 and Figure 1: six times, on CIFAR-10 with a four-layer net; that is
`cuda_convnet.figure1`. Here the same question for the eight-layer net.
Fixed: network, data, recipe. Varies: the activation of all layers but the last.
Cost: one run of the base per variant.
Command: python -m experiments.run --experiment activation
"""

from alexnet_jax.config import Config
from experiments.variants import Target, changed

PAPER_SECTION = "3.1"
TARGETS: dict[str, Target] = {}  # the paper gives no figure for this net


def variants(base: Config) -> dict[str, Config]:
    return {
        "relu": changed(base, {"model.activation": "relu"}),
        "tanh": changed(base, {"model.activation": "tanh"}),
    }
