"""Question: Is the depth important?

Paper: section 7. Removing any of the middle layers costs about 2 points of top-1 error.
Fixed: recipe, data. Varies: one layer is missing; its pooling stays. Without conv3 the
columns exchange their maps at conv4 instead.
Cost: one run of the base per variant.
Command: python -m experiments.run --experiment depth
"""

from typing import Any

from alexnet_jax.config import Config
from experiments.variants import Target, changed

PAPER_SECTION = "7"
_PAPER = Target(paper=2.0, source="7, about 2 points for a middle layer; no log")
TARGETS = {f"without_{name}": _PAPER for name in ("conv3", "conv4", "conv5")}


def variants(base: Config) -> dict[str, Config]:
    configs = {"all_layers": base}
    for name in ("conv3", "conv4", "conv5", "fc7"):
        changes: dict[str, Any] = {"model.without": (name,)}
        if name == "conv3":
            changes["model.conv4.sees"] = "both"
        configs[f"without_{name}"] = changed(base, changes)
    return configs
