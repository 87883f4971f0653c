"""Question: How much does overlapping pooling gain?

Paper: section 3.4. Windows of 3 at stride 2 have errors 0.4 / 0.3 points below windows
of 2 at stride 2.
Fixed: recipe, data, everything else. Varies: the window and, in the net of 224 pixels,
the padding that keeps the map sizes (147: conv2 1, conv5 0).
Cost: one run of the base per variant.
Command: python -m experiments.run --experiment pooling
"""

from alexnet_jax.config import Config
from experiments.variants import Target, changed

PAPER_SECTION = "3.4"
TARGETS = {
    "apart": Target(
        paper=0.4, log=0.394, source="3.4; 147 minus 145, 2012 validation, 10 views"
    )
}
_PADDING_147 = {"model.conv2.padding": (1, 1), "model.conv5.padding": (0, 0)}


def variants(base: Config) -> dict[str, Config]:
    windows = {f"model.{layer}.pool.window": 2 for layer in ("conv1", "conv2", "conv5")}
    is_full_size = base.augment.crop_size == 224
    return {
        "overlapping": base,
        "apart": changed(base, windows | (_PADDING_147 if is_full_size else {})),
    }
