"""Question: How far can the batch grow?

Paper: section 5 has a batch of 128. 2012 code: 170-256-double, batch 256 with both
rates doubled, follows the run at batch 128 (84 epochs, centre view 42.27 / 19.66
against 42.340 / 19.583). Krizhevsky 2014 ("One weird trick") continues from there.
Fixed: network, data, number of epochs. Varies: the batch and, in proportion, the rates.
Cost: one run of the base per variant.
Command: python -m experiments.run --experiment batch_size
"""

from alexnet_jax.config import Config
from experiments.variants import Target, changed

PAPER_SECTION = "5"
TARGETS = {
    "batch_256": Target(
        log=-0.07, source="170-256-double minus 170, 2012 validation, centre view"
    )
}


def variants(base: Config) -> dict[str, Config]:
    return {f"batch_{size}": _with_batch(base, size) for size in (128, 256, 512, 1024)}


def _with_batch(base: Config, size: int) -> Config:
    factor = size / 128
    return changed(
        base,
        {
            "batch_size": size,
            "optimizer.learning_rate": base.optimizer.learning_rate * factor,
            "optimizer.bias_learning_rate": base.optimizer.bias_learning_rate * factor,
        },
    )
