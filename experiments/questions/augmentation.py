"""Question: How much does data augmentation gain?

Paper: section 4.1. Without crops and mirror images the net overfits; the colour shift
lowers the top-1 error by over 1 point.
Fixed: network, recipe. Varies: the transformations of training images.
Cost: one run of the base per variant.
Command: python -m experiments.run --experiment augmentation
"""

from alexnet_jax.config import Config
from experiments.variants import Target, changed

PAPER_SECTION = "4.1"
TARGETS = {
    "crops_and_flips": Target(paper=1.0, source="4.1, over 1 point; no log"),
}
_CENTRE = {"augment.random_crop": False, "augment.horizontal_flip": False}


def variants(base: Config) -> dict[str, Config]:
    every = {
        "augment.random_crop": True,
        "augment.horizontal_flip": True,
        "augment.color_shift": "2012",
    }
    return {
        "all": changed(base, every),
        "none": changed(base, _CENTRE | {"augment.color_shift": "none"}),
        "crops_and_flips": changed(base, every | {"augment.color_shift": "none"}),
        "color_only": changed(base, every | _CENTRE),
        # As the text has it: scaled by the eigenvalues, not by their square roots.
        "color_as_text": changed(base, every | {"augment.color_shift": "paper"}),
    }
