"""Question: How much error does bfloat16 cost?

Paper: no claim; the nets of 2012 were trained in float32. Activations and products in
bfloat16 halve the memory traffic; parameters, normalisation sums and the loss stay
float32.
Fixed: network, recipe, data. Varies: the precision of activations and products; tf32
differs from float32 on GPUs only.
Cost: one run of the base per variant.
Command: python -m experiments.run --experiment precision --seeds 0 1 2
"""

from alexnet_jax.config import Config
from experiments.variants import Target, changed

PAPER_SECTION = None
TARGETS: dict[str, Target] = {}


def variants(base: Config) -> dict[str, Config]:
    return {
        name: changed(base, {"model.precision": name})
        for name in ("float32", "bfloat16", "tf32")
    }
