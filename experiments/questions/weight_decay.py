"""Question: Does the net need weight decay to learn?

Paper: section 5. A decay of 0.0005 "was important for the model to learn. In other
words, weight decay here is not merely a regularizer: it reduces the model's training
error." The paper gives no figure.
Fixed: network, data, rates. Varies: the weight decay of kernels; biases have none. The
claim is about training: besides the errors in `report`, compare the loss of the "train"
records in each run's metrics.jsonl, which does not include the decay.
Cost: one run of the base per variant.
Command: python -m experiments.run --experiment weight_decay
"""

from alexnet_jax.config import Config
from experiments.variants import Target, changed

PAPER_SECTION = "5"
TARGETS: dict[str, Target] = {}  # no figure in the paper, no log


def variants(base: Config) -> dict[str, Config]:
    return {
        "0.0005": changed(base, {"optimizer.weight_decay": 0.0005}),
        "none": changed(base, {"optimizer.weight_decay": 0.0}),
        "0.005": changed(base, {"optimizer.weight_decay": 0.005}),
    }
