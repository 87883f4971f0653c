"""Question: what does it cost to compute in bfloat16?

The nets of 2012 were trained in float32. Activations and products in bfloat16 halve
what is moved; parameters, normalisation sums and the loss stay float32.
Fixed: network, recipe, data. Varies: the precision of activations and products; tf32
differs from float32 on GPUs only.
Cost: one run of the base for each variant.
Command: python -m experiments.run --experiment precision --seeds 0 1 2
"""

from alexnet_jax.config import Config
from experiments.variants import Target, changed

BASELINE = "float32"
TARGETS: dict[str, Target] = {}


def variants(base: Config) -> dict[str, Config]:
    return {
        name: changed(base, {"model.precision": name})
        for name in (BASELINE, "bfloat16", "tf32")
    }
