"""Question: how far can the batch grow?

2012 code: 170-256-double, batch 256 with both rates doubled, follows the run at batch
128 (84 epochs, centre view 42.27 / 19.66 against 42.340 / 19.583). Krizhevsky 2014
("One weird trick") goes on from there.
Fixed: network, data, number of epochs. Varies: batch and, in proportion, the rates.
Cost: one run of the base for each variant.
Command: python -m experiments.run --experiment batch_size
"""

from alexnet_jax.config import Config
from experiments.variants import Target, changed

BASELINE = "batch_128"
TARGETS = {
    "batch_256": Target(
        log=-0.07, source="170-256-double minus 170, 2012 validation, centre view"
    )
}


def variants(base: Config) -> dict[str, Config]:
    found = {}
    for batch in (128, 256, 512, 1024):
        times = batch / 128
        found[f"batch_{batch}"] = changed(
            base,
            {
                "batch_size": batch,
                "optimizer.learning_rate": base.optimizer.learning_rate * times,
                "optimizer.bias_learning_rate": base.optimizer.bias_learning_rate
                * times,
            },
        )
    return found
