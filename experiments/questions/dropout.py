"""Question: How much does dropout gain, and does its form matter?

Paper: section 4.2. Without dropout the net overfits substantially (no figure); dropout
doubles the number of iterations needed. The form of 2012 (a plain mask, outputs halved
in testing) and today's inverted form differ in what the first steps see.
Fixed: network, recipe. Varies: dropout in fc6 and fc7.
Cost: one run of the base per variant.
Command: python -m experiments.run --experiment dropout
"""

from alexnet_jax.config import Config
from experiments.variants import Target, changed

PAPER_SECTION = "4.2"
TARGETS: dict[str, Target] = {}  # no figure in the paper, no log


def variants(base: Config) -> dict[str, Config]:
    return {
        "2012": changed(base, {"model.dropout": "2012"}),
        "inverted": changed(base, {"model.dropout": "inverted"}),
        "none": changed(base, {"model.dropout": "none"}),
    }
