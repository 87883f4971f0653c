"""Question: Which parts of the 2012 code's recipe does the net need to learn at all?

Paper: section 5 has a deviation of 0.01 in every layer and one rate for all;
configuration 145 has 0.03 in conv3 to conv5 and 0.02 for biases, and pixels on 0-255.
At the start, 15 times less of the image reaches the logits with a deviation of 0.01,
and 32 times less with pixels divided by 58.
Fixed: network, data. Varies: one part of the recipe. Look at when the loss leaves
ln(classes): `report` gives the epoch.
Cost: a few epochs of the base per variant are enough.
Command: python -m experiments.run --experiment recipe --num-epochs 5
"""

from alexnet_jax.config import Config
from experiments.variants import Target, changed

PAPER_SECTION = "5"
TARGETS: dict[str, Target] = {}


def variants(base: Config) -> dict[str, Config]:
    narrow = {
        f"model.{layer}.kernel_std": 0.01 for layer in ("conv3", "conv4", "conv5")
    }
    equal = {
        "optimizer.bias_learning_rate": base.optimizer.learning_rate,
        "optimizer.max_bias_drops": 3,
    }
    return {
        "2012": base,
        "std_of_text": changed(base, narrow),
        "bias_rate_of_text": changed(base, equal),
        "both_of_text": changed(base, narrow | equal),
        "pixels_over_58": changed(base, {"augment.pixel_scale": 1 / 58}),
    }
