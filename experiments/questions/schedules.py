"""Question: Does it matter how the learning rate falls?

Paper: section 5: divided by 10 by hand when the validation error stalled, three times.
Later runs of the authors had a fixed schedule: configuration 170 has four equal levels.
Fixed: network, data, augmentation, length. Varies: the schedule.
Cost: one run of the base per variant.
Command: python -m experiments.run --experiment schedules
"""

from alexnet_jax.config import Config
from experiments.variants import Target, changed

PAPER_SECTION = "5"
TARGETS = {
    "levels_of_170": Target(
        log=-0.136, source="170 minus 145, 2012 validation, 10 views"
    )
}
_DROPS_145, _LENGTH_145 = (25, 51, 79), 91


def variants(base: Config) -> dict[str, Config]:
    drops = tuple(epoch / _LENGTH_145 * base.num_epochs for epoch in _DROPS_145)
    return {
        "145": changed(
            base, {"optimizer.schedule": "epochs", "optimizer.drop_epochs": drops}
        ),
        "plateau": changed(base, {"optimizer.schedule": "plateau"}),
        "levels_of_170": changed(
            base, {"optimizer.schedule": "levels", "optimizer.layer_rates": ()}
        ),
        "cosine": changed(base, {"optimizer.schedule": "cosine"}),
    }
